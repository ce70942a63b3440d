"""One given rule on held-out classes: which classes, which rules, and what counts as an entry."""

import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

import metaplax as mp
from metaplax.cli import main
from metaplax.data import glyphs
from metaplax.experiments import ConfigError, Leaderboard, preset
from metaplax.experiments.from_file import load_rule
from metaplax.experiments.shervani2023.online import meta_training_classes
from metaplax.runs import RunFolder, RunFolderError

MINE = """
import metaplax as mp

mine = mp.rules.oja()
make = mp.rules.ehebb
number = 3


def other():
    return 3


def needs(argument):
    return argument
"""
SHIPPED = files("metaplax.plasticity") / "learned" / "shervani2023" / "f_bio.json"


@pytest.fixture
def mine(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = Path("mine.py")
    path.write_text(MINE)
    Path("mine.json").write_text(SHIPPED.read_text(encoding="utf-8"), encoding="utf-8")
    return path


def run(*arguments: str) -> dict:
    assert main(["run", "leaderboard", "--preset", "smoke", *arguments]) == 0
    folder = max(Path("runs").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    return json.loads((folder / "result.json").read_text())


def test_the_classes_are_those_that_meta_training_does_not_see():
    images = glyphs(per_class=60)
    (study,) = Leaderboard(data="glyphs").studies(images, lambda name: images).values()
    seen = meta_training_classes(47, 10)
    assert sorted({*map(int, study.task.bank.labels)} | {*seen}) == list(range(47))
    assert len(study.task.bank.labels) == 10
    assert (study.task.ways, study.task.ways * study.task.shots) == (5, 250)


def test_a_rule_scores_the_same_by_name_and_from_its_file(mine):
    by_name, by_file = run(), run("--rule", "mine.json")
    values = [[it["values"] for it in one["quantities"] if it["name"] == "accuracy.rule"] for one in (by_name, by_file)]
    assert values[0] == values[1]
    assert len(values[0][0]) == 2
    assert "is no entry of the leaderboard, whose protocol has other trials, data, episodes" in by_name["findings"][1]


def test_nothing_is_learned_but_weights(mine):
    (study,) = preset("leaderboard", "smoke").studies(glyphs(per_class=60), lambda name: None).values()
    assert study.factors == (1.0,)
    assert study.training.steps == 0
    np.testing.assert_array_equal(study.learner.rule.coefficients.values, load_rule(str(SHIPPED)).coefficients.values)


def test_rules_in_files(mine):
    assert [term.name for term in load_rule("mine.py:mine").terms] == ["0", "9"]
    assert [term.name for term in load_rule("mine.py:make").terms] == ["0", "2"]
    assert str(load_rule("mine.json")) == str(mp.rules.load("shervani2023/f_bio"))
    assert Leaderboard(rule="mine.py:mine").rule == f"{mine.absolute()}:mine"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("f_bio", "there is no learned rule 'f_bio': did you mean 'shervani2023/f_bio'"),
        ("nothing.json", "nothing.json cannot be read: No such file"),
        ("broken.json", "broken.json is not the file of a rule"),
        ("nothing.py:mine", "there is no file"),
        ("mine.py:number", "there is no rule 'number'"),
        ("mine.py:other", "is not a rule, nor a function that makes one"),
        ("mine.py:needs", "cannot be called without arguments"),
    ],
)
def test_what_is_no_rule_is_refused_in_one_sentence(name, said, mine):
    Path("broken.json").write_text("{")
    with pytest.raises(ConfigError, match=said):
        load_rule(name)


def test_a_run_goes_on_with_the_file_that_it_was_started_with(mine):
    run("--rule", "mine.json")
    (folder,) = Path("runs").iterdir()
    assert [*RunFolder(folder).config()["files"]] == [str(Path("mine.json").absolute())]
    Path("mine.json").write_text(SHIPPED.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.warns(UserWarning, match="mine.json has changed since"):
        mp.experiments.resume(folder)
    Path("mine.json").unlink()
    with pytest.raises((ConfigError, RunFolderError), match=r"mine\.json cannot be read"):
        mp.experiments.resume(folder)
