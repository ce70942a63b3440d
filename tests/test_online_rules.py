"""Learning rates that are searched before a stream of digits is learned, and variants of the rules."""

import jax
import numpy as np
import pytest

import metaplax as mp
from metaplax.data import glyphs
from metaplax.experiments import RunOptions, resume, run
from metaplax.experiments.pairs import difference_findings, differences
from metaplax.experiments.shervani2023.online_digits import FigS1Searched
from metaplax.experiments.shervani2023.variants import Variants
from metaplax.runs import Interrupted
from test_run_folder import StopAfter, without_time

RATES = (1e-6, 3e-2)


@pytest.fixture(scope="module")
def experiment() -> FigS1Searched:
    settings = {"images": 1500, "every": 500, "queries": 300, "sizes": (784, 20, 47)}
    return FigS1Searched(data="glyphs", trials=2, rates=RATES, **settings)


def test_the_rate_that_is_best_on_validation_images_is_taken(experiment, tmp_path):
    folder = run(experiment, RunOptions(out=tmp_path))
    result = folder.read_json("result.json")
    found = {entry["name"]: entry for entry in result["quantities"]}
    for arm, search in result["searched"].items():
        low, high = search["scores"][0]
        assert search["values"] == list(RATES)
        assert low + 0.02 < high, "one rate learns nothing"
        assert search["chosen"] == [RATES[1]]
        assert found[f"theta0.{arm}"]["mean"] == pytest.approx(RATES[1])
    pair = [np.asarray(found[f"accuracy.{arm}"]["values"]) for arm in ("dfa", "fa")]
    assert found["accuracy_difference.dfa.fa"]["values"] == pytest.approx(pair[0] - pair[1], abs=1e-6)
    assert any("at the edge of what was searched" in finding for finding in result["findings"])


def test_what_is_scored_is_not_what_the_rate_was_searched_on(experiment):
    study = experiment.studies(glyphs(), lambda *_: None)["fa"]
    sets = [study.stream.train, study.stream.test, study.search.stream.test]
    images = [{image.tobytes() for image in np.asarray(part.x)} for part in sets]
    # Built-in glyphs repeat some images; what is set apart are others than those that are learned from.
    assert sum(len(part.x) for part in sets) == len(glyphs().images)
    assert len(images[1] & images[2]) < 0.01 * len(images[1])
    assert (np.asarray(study.search.stream.train.x) == np.asarray(study.stream.train.x)).all()


@pytest.mark.parametrize("steps", [4, 11])
def test_a_search_that_is_interrupted_and_resumed_gives_the_same(experiment, tmp_path, steps):
    whole = run(experiment, RunOptions(out=tmp_path / "whole"))
    with pytest.raises(Interrupted):
        run(experiment, RunOptions(out=tmp_path / "broken"), interruption=StopAfter(steps))
    (path,) = (tmp_path / "broken").iterdir()
    broken = resume(path)
    assert without_time(broken) == without_time(whole)
    assert broken.read_json("result.json")["searched"] == whole.read_json("result.json")["searched"]


def test_variants_of_rules():
    experiment = Variants(sizes=(784, 24, 16, 47))
    hidden = experiment.rule("f_bio_hidden")
    acts = [[hidden.acts(layer, term) for term in range(3)] for layer in (1, 2, 3)]
    assert acts == [[True] * 3, [True] * 3, [True, False, False]]
    shared, own = (jax.tree.leaves(experiment.rule(arm).coefficients) for arm in ("f_bio", "f_bio_layers"))
    assert sum(map(np.size, shared)) == 3
    assert sum(map(np.size, own)) == 3 * 3
    plain, poor = (experiment.learner(arm).network.init(jax.random.key(0)) for arm in ("bp", "bp_poor"))
    for one, other in zip(plain, poor, strict=True):
        np.testing.assert_allclose(np.asarray(other), 0.5 * np.asarray(one))


@pytest.mark.parametrize("gain", [0.0, -1.0, float("nan"), float("inf")])
def test_a_gain_that_is_no_positive_number_is_refused(gain):
    with pytest.raises(ValueError, match="the gain of the weights is a positive number"):
        mp.MLP((3, 2), gain=gain)


def test_differences_are_paired():
    values = {"loss.one": np.array([1.0, 2.0, 4.0]), "loss.other": np.array([0.0, 1.5, 3.0])}
    (found,) = differences(values, [("one", "other"), ("one", "absent")], "nats")
    assert (found.name, found.unit, found.mean) == ("loss_difference.one.other", "nats", pytest.approx(2.5 / 3))
    (said,) = difference_findings({found.name: found}, [("one", "other")], str.upper)
    assert said.startswith("loss of ONE minus OTHER: 0.833")
