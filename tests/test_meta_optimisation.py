"""Decays of regularisers that are meta-learned, and meta-gradients side by side, from data to report."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import metaplax as mp
from metaplax.analysis import quantities
from metaplax.experiments import ConfigError, EstimatorComparison, RunOptions, resume, run
from metaplax.experiments.zucchet2022 import error_bound
from metaplax.experiments.zucchet2022.error_bound import ErrorBound
from metaplax.experiments.zucchet2022.metaopt import MetaoptMNIST, nonnegative_decays
from metaplax.learners import Descent, MetaRegularised
from metaplax.networks import EquinoxNetwork, SoftmaxCrossEntropy
from metaplax.runs import ReportOptions, RunFolder
from metaplax.tasks import HoldOut

KEY = jax.random.key(0)


def small(**more) -> MetaoptMNIST:
    smoke = {**MetaoptMNIST.presets["smoke"], "width": 5, "inner_steps": 3, **more}
    return MetaoptMNIST(**smoke)


def test_a_division_is_one_of_the_trial(few_glyphs):
    train, test = few_glyphs.divided(50)
    kinds = {part: HoldOut(train, test, (60, 40), part=part) for part in ("validation", "test", "all")}
    first, again, other = (kinds["validation"].resample(jax.random.key(k)).sample(KEY) for k in (1, 1, 2))
    assert jnp.array_equal(first.support.x, again.support.x)
    assert not jnp.array_equal(first.support.x, other.support.x)
    rows = kinds["validation"].resample(jax.random.key(1)).order[:100]
    assert len(set(rows.tolist())) == 100, "no image is in both parts"
    tested, every = (kinds[part].resample(jax.random.key(1)).sample(KEY) for part in ("test", "all"))
    assert jnp.array_equal(tested.support.x, first.support.x)
    assert jnp.array_equal(tested.query.y, every.query.y)
    assert jnp.array_equal(every.support.x, jnp.concatenate([first.support.x, first.query.x]))
    with pytest.raises(ValueError, match="cannot be divided into"):
        HoldOut(train, test, (400, 400))


def test_pixels_are_standardised(few_glyphs):
    train, test = few_glyphs.divided(50)
    images = HoldOut(train, test, (60, 40), mean=(0.5,), std=(2.0,), flat=False).sample(KEY).support.x
    assert images.shape == (60, 28, 28, 1)
    assert np.allclose(images, (train.images[:60, ..., None] / 255 - 0.5) / 2, atol=1e-6)


def test_decays_do_not_fall_below_zero():
    network = EquinoxNetwork(lambda key: eqx.nn.Linear(2, 2, key=key))
    learner = MetaRegularised(network, SoftmaxCrossEntropy(), Descent(optax.sgd(0.1), 1), 0.1, learn_start=True)
    parameters = mp.learners.split(learner)[0]
    optimizer = nonnegative_decays(optax.sgd(1.0))
    updates, _ = optimizer.update(jax.tree.map(jnp.ones_like, parameters), optimizer.init(parameters), parameters)
    stepped = eqx.apply_updates(parameters, updates)
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(stepped.decay)), "0.1 - 1 is taken to zero"
    assert np.allclose(stepped.start.weight, parameters.start.weight - 1), "weights may be negative"


@pytest.mark.usefixtures("few_glyphs")
def test_meta_optimisation_from_data_to_report(tmp_path, monkeypatch):
    monkeypatch.setattr(MetaoptMNIST, "arms", ("cg", "search"))
    folder = run(small(meta_steps=3), RunOptions(out=tmp_path))
    found = mp.reports.read(folder.path)
    assert list(found.labels) == ["cg", "search"]
    assert {one.condition for one in found.studies.values() if one.arm == "search"} == {"", "test", "all"}
    search = found.result["searched"]["search"]
    assert search["values"] == [1e-6, 0.1]
    assert search["chosen"] == pytest.approx(found.series["search"]["decay"][-1].tolist())
    assert np.all(np.diff(found.series["search"]["loss"], axis=0) <= 0), "what is recorded is the best so far"
    assert np.all((found.series["search"]["decay"] >= 1e-6) & (found.series["search"]["decay"] <= 0.1))
    assert np.all(np.isfinite(found.series["cg"]["residual"]))
    assert 0 < found.quantities["cpu_seconds_per_episode.cg"]["mean"] < 100
    assert "ΔW" not in (mp.reports.write([folder.path], tmp_path / "report.html")).read_text(), "there is no rule"


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"batch": 50}, "batch must not be more than learn_from = 40"),
        ({"learn_from": 10_000}, "cannot be divided into"),
        ({"inner_steps": -1}, "must not be negative"),
        ({"width": 0}, "width must be positive"),
    ],
)
@pytest.mark.usefixtures("few_glyphs")
def test_meta_optimisation_that_makes_no_sense(more, sentence, tmp_path):
    with pytest.raises(ConfigError, match=sentence):
        run(small(**more), RunOptions(out=tmp_path))
    assert not list(tmp_path.iterdir())


def test_no_regularisation_is_a_decay_of_zero(few_glyphs):
    studies = small().studies(few_glyphs, lambda name, split=None: few_glyphs)
    assert list(studies)[:7] == list(MetaoptMNIST.arms)
    assert (studies["none"].lowest, studies["none"].highest, studies["none"].steps) == (0, 0, 1)
    assert float(studies["none"]._draw(KEY)) == 0


def test_the_error_bound(tmp_path, monkeypatch):
    few = {name: error_bound.ESTIMATORS[name] for name in ("forward", "symmetric", "cg")}
    monkeypatch.setattr(error_bound, "ESTIMATORS", few)
    experiment = ErrorBound(trials=2, points=7, misses=(1e-3,), inner_steps=(30,), real=False)
    folder = run(experiment, RunOptions(out=tmp_path))
    found = mp.reports.read(folder.path)
    slopes = {arm: found.quantities[f"slope.quadratic_{arm}"]["mean"] for arm in ("forward", "symmetric")}
    assert slopes == pytest.approx({"forward": 1, "symmetric": 2}, abs=0.1)
    missed = found.quantities["best_beta.quadratic_forward_miss0p001"]["mean"]
    assert missed > found.quantities["best_beta.quadratic_forward"]["mean"]
    assert len(found.series["quadratic_cg"]["error"]) == 1, "nothing to vary"
    for arm in ("forward", "forward_miss0p001", "forward_steps30"):
        margins = found.quantities[f"least_margin.quadratic_{arm}"]["values"]
        assert 1 <= min(margins) < 100, "the error exceeds its bound, or the bound says nothing"
    assert 'id="errors"' in mp.reports.write([folder.path], tmp_path / "report.html").read_text()
    with pytest.raises(ConfigError, match="misses must be positive"):
        ErrorBound(misses=(0.0,))


@pytest.mark.usefixtures("few_glyphs")
def test_estimators_side_by_side(tmp_path, monkeypatch):
    monkeypatch.setattr(MetaoptMNIST, "arms", ("cml",))
    experiment = EstimatorComparison(
        experiment=MetaoptMNIST.name, base="smoke", trials=2, meta_steps=2, probes=1,
        estimators=("reverse", "t1t2", "reversible", "forward"),
    )  # fmt: skip
    finished, append = [], RunFolder.append
    monkeypatch.setattr(RunFolder, "append", lambda *given: (finished.append(given[1].get("final")), append(*given)))
    folder = run(experiment, RunOptions(out=tmp_path))
    assert finished.count(True) == 2, "a run that is killed between two final lines would not measure again"
    found = mp.reports.read(resume(folder.path).path)
    assert list(found.labels) == ["reverse", "t1t2"], "the others do not apply"
    assert found.quantities["error.reverse"]["mean"] < 1e-5 < found.quantities["error.t1t2"]["mean"]
    assert found.quantities["cosine.reverse"]["mean"] == pytest.approx(1)
    final = [row for row in folder.rows() if row.get("final")]
    assert [row["study"] for row in final] == ["reverse", "t1t2"]
    assert found.quantities["temporary_megabytes.reverse"]["mean"] > 0
    assert np.isfinite(found.quantities["loss_at_equal_cost.t1t2"]["mean"])
    assert 'id="costs"' in mp.reports.write([folder.path], tmp_path / "report.html").read_text()
    assert all({"error", "cosine", "temporary_megabytes"} <= row.keys() for row in final)


def compared_rows(*slow: int, study: str = "a", seconds: float = 0.5) -> list[dict]:
    """Ten steps, some of which are the first ones of a process."""
    return [
        {"study": study, "step": step, "cpu_seconds": 9.0 if step in slow else seconds, "loss": [10.0 - step, np.nan]}
        for step in range(10)
    ]


@pytest.mark.parametrize("slow", [(0,), (0, 4), (0, 4, 7)])
def test_what_estimators_cost_does_not_depend_on_where_they_were_resumed(slow):
    rows = [*compared_rows(*slow), *compared_rows(0, study="b", seconds=1.0), {"study": "a", "step": 10, "final": True}]
    found = {one.name: one.mean for one in EstimatorComparison().further_quantities(rows)}
    assert found == {
        "loss_at_equal_cost.a": np.mean([1, 2, 3, 4, 5]),
        "loss_at_equal_cost.b": np.mean([6, 7, 8, 9, 10]),
        "loss_to_reach": (10 + 3) / 2,
        # The mean of the losses 8, 7, 6, 5 and 4 is the first one below that.
        "cpu_seconds_to_loss.a": 7 * 0.5 / 2,
        "cpu_seconds_to_loss.b": 7 * 1.0 / 2,
    }
    described = quantities(rows, {}, ReportOptions(), {})
    costs = {one.name: one.mean for one in described if one.name.startswith("cpu_seconds")}
    assert costs == {"cpu_seconds_per_episode.a": 0.25, "cpu_seconds_per_episode.b": 0.5}


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"experiment": "shervani2023/fig3", "arm": "pool"}, "does not meta-train 'pool': it does bp, fa"),
        ({"experiment": "shervani2023/figS1", "base": "smoke"}, "meta-trains nothing"),
        ({"experiment": "compare-estimators"}, "cannot compare the estimators of itself"),
        ({"base": "tiny"}, "quickstart has no preset 'tiny'"),
        ({"experiment": "shervani2023/fig9"}, "did you mean"),
        ({"experiment": "quickstart", "base": "smoke", "estimators": ("cg",)}, "none of cg applies to quickstart"),
    ],
)
@pytest.mark.usefixtures("few_glyphs")
def test_comparisons_that_make_no_sense(more, sentence, tmp_path):
    settings = {"base": "smoke", **more}
    with pytest.raises(ConfigError, match=sentence):
        run(EstimatorComparison(trials=1, **settings), RunOptions(out=tmp_path))
    with pytest.raises(ConfigError, match="but one is 'magic'"):
        EstimatorComparison(estimators=("magic",))
