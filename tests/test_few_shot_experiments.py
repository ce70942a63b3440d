"""Few-shot and wheel-bandit experiments: from a run to its report."""

import json
from dataclasses import replace

import pytest

from metaplax.cli import main
from metaplax.experiments import ConfigError, preset
from metaplax.experiments.zucchet2022 import few_shot_vision
from metaplax.experiments.zucchet2022.few_shot_vision import FewShotSettings
from metaplax.learners import IncompatibleError

LABELS = ("cml", "cml_templates", "cml_head", "maml", "fomaml", "reptile", "imaml", "anil", "scratch")


@pytest.mark.parametrize("tuned_for", ["20w1s", "smoke"])
def test_every_arm_fits_its_task(tuned_for, few_glyphs):
    experiment = replace(preset("zucchet2022/fewshot-omniglot", "smoke"), tuned_for=tuned_for)
    studies = experiment.studies(few_glyphs, lambda name, split=None: few_glyphs)
    assert tuple(studies) == (*LABELS, *(f"{arm}.test" for arm in LABELS))
    for study in studies.values():
        study.check()


@pytest.mark.parametrize("name", ["fewshot-omniglot", "fewshot-miniimagenet", "wheel-bandit"])
def test_presets_make_sense(name):
    kind = type(preset(f"zucchet2022/{name}", "smoke"))
    for which in kind.presets:
        assert preset(kind.name, which).tuned_for in kind.settings


@pytest.mark.parametrize(("nudged_rate", "expected"), [(None, 0.2), (0.5, 0.5)])
def test_nudged_phases_may_have_a_rate_of_their_own(nudged_rate, expected):
    more = {"rate": 0.2, "steps": 4, "test_steps": 4, "nudged_steps": 3}
    settings = FewShotSettings(rule="contrastive", nudged_rate=nudged_rate, **more)
    for descent, rate, steps in ((settings.descent(4), 0.2, 4), (settings.nudged_descent(), expected, 3)):
        step = descent.optimizer.update(1.0, descent.optimizer.init(1.0))[0]
        assert (descent.rate * float(step), descent.steps) == (pytest.approx(-rate), steps)


def test_published_rivals_stand_beside_the_same_ways_and_shots():
    five = preset("zucchet2022/fewshot-omniglot", "quick").published_values()
    twenty = preset("zucchet2022/fewshot-omniglot", "quick-20w1s").published_values()
    assert (five["accuracy.maml.test"].value, twenty["accuracy.maml.test"].value) == (0.987, 0.958)
    assert "accuracy.cml.test" not in five
    assert not preset("zucchet2022/fewshot-omniglot", "smoke").published_values()


def test_a_few_shot_run_and_its_report(tmp_path, few_glyphs, capsys, monkeypatch):
    monkeypatch.setattr(few_shot_vision, "PUBLISHED", {"glyphs": {"3w1s": {"fomaml": 0.75}}})
    words = ["run", "zucchet2022/fewshot-omniglot", "--preset", "smoke", "--out", str(tmp_path), "--json"]
    words += ["--arms", "fomaml", "scratch"]
    assert main(words) == 0
    result = json.loads(capsys.readouterr().out)
    names = {quantity["name"]: quantity for quantity in result["quantities"]}
    for arm in ("fomaml", "scratch"):
        assert 0 <= names[f"accuracy.{arm}.test"]["mean"] <= 1
    assert names["accuracy.fomaml.test"]["published"] == 0.75
    assert json.loads((tmp_path / result["run"] / "config.json").read_text())["published"]
    assert any(finding.startswith("first-order MAML: accuracy") for finding in result["findings"])
    drawn = (tmp_path / result["run"] / "figures" / "progress.svg").read_text()
    assert "<svg" in drawn


def test_a_game_and_its_report(tmp_path, capsys):
    kept = ("cml_synapse", "uniform")
    words = ["run", "zucchet2022/wheel-bandit", "--preset", "smoke", "--out", str(tmp_path), "--json"]
    words += ["--players", *kept]
    assert main(words) == 0
    result = json.loads(capsys.readouterr().out)
    names = {quantity["name"]: quantity for quantity in result["quantities"]}
    for arm in kept:
        for wheel in ("delta50", "delta95"):
            assert names[f"regret.{arm}.{wheel}"]["mean"] > 0
    assert 0.5 < names["regret.uniform.delta50"]["mean"] < 1.5
    assert any(finding.startswith("random actions: regret in % of random actions") for finding in result["findings"])
    for figure in ("regrets", "wheels"):
        assert "<svg" in (tmp_path / result["run"] / "figures" / f"{figure}.svg").read_text()


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("fewshot-omniglot", {"ways": 0}, "ways must be positive"),
        ("fewshot-omniglot", {"tuned_for": "me"}, "tuned_for is one of 5w1s, 5w5s"),
        ("fewshot-omniglot", {"polyak_from": -1}, "polyak_from must not be negative"),
        ("wheel-bandit", {"deltas": (0.5, 1.0)}, "between 0 and 1"),
        ("wheel-bandit", {"deltas": (0.5, 0.502)}, "must differ by at least 0.01"),
        ("wheel-bandit", {"players": ("me",)}, "players are some of cml_synapse, cml_strength"),
        ("fewshot-omniglot", {"arms": ("maml", "maml")}, "arms must be different ones"),
        ("wheel-bandit", {"plays": 0}, "plays must be positive"),
    ],
)
def test_configurations_that_make_no_sense_are_refused(name, change, sentence):
    with pytest.raises(ConfigError, match=sentence):
        replace(preset(f"zucchet2022/{name}", "smoke"), **change)


def test_images_that_do_not_suffice_are_refused_in_one_sentence(few_glyphs):
    experiment = preset("zucchet2022/fewshot-omniglot", "smoke")
    load = lambda name, split=None: few_glyphs  # noqa: E731
    with pytest.raises(ConfigError, match="too few"):
        replace(experiment, ways=30).studies(few_glyphs, load)
    with pytest.raises(ConfigError, match="cannot be halved 5 times"):
        replace(experiment, channels=(4,) * 5).studies(few_glyphs, load)


def test_games_are_made_of_whole_blocks(few_glyphs):
    experiment = replace(preset("zucchet2022/wheel-bandit", "smoke"), plays=210)
    studies = experiment.studies(few_glyphs, lambda name, split=None: few_glyphs)
    with pytest.raises(IncompatibleError, match="whole blocks of 10"):
        studies["maml.delta50"].check()
