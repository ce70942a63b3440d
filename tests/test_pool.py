"""The pool of ten terms under its regularisers (Fig. 4, Fig. S5), and rules that differ between layers (Table 1)."""

import json
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import metaplax as mp
import small
from metaplax.estimators import Reverse
from metaplax.experiments import ConfigError, RunOptions, preset, run
from metaplax.experiments.shervani2023.figures import EHEBB_IN, Table1
from metaplax.experiments.shervani2023.pool import FACTORS, Fig4, Fig4Path, FigS5
from metaplax.feedback import RandomFixed, Symmetric
from metaplax.plasticity import L1, L2, ElasticNet, NoPenalty

EHEBB = {
    "none": (False, False, False),
    "w12": (False, True, False),
    "w23": (False, False, True),
    "w01_w12": (True, True, False),
    "w12_w23": (False, True, True),
    "w01_w23": (True, False, True),
    "all": (True, True, True),
}

NO_TASK = mp.tasks.OnlineClassification(mp.data.glyphs(2), 2, 1, 1)


@pytest.fixture
def few_glyphs(monkeypatch):
    """Built-in characters, but only as many as a test can wait for."""
    monkeypatch.setattr("metaplax.data.catalog.glyphs", lambda: mp.data.glyphs(12))


def test_table_1_has_seven_rows():
    assert Table1.arms == tuple(EHEBB_IN) == tuple(EHEBB)
    assert len(Table1.published) == 3 * len(EHEBB)


@pytest.mark.parametrize("row", EHEBB)
def test_ehebb_acts_in_the_layers_of_the_row(row):
    learner: Any = Table1().learner(row)
    assert learner.rule.active == tuple((True, ehebb) for ehebb in EHEBB[row])
    assert [term.name for term in learner.rule.terms] == ["0", "2"]
    assert isinstance(learner.feedback, RandomFixed)


@pytest.mark.parametrize("row", ["w12", "w01_w23"])
def test_where_ehebb_does_not_act_its_gradient_is_exactly_zero(row):
    learner: Any = Table1(sizes=small.SIZES, sharing="layer").learner(row)
    learner = replace(learner, probes=())
    gradient = jax.jit(Reverse().value_and_grad)(learner, small.episode(3, 2), jax.random.key(0)).gradient
    of_gradient, of_ehebb = np.asarray(gradient.rule.coefficients.values).T
    assert of_gradient.all()
    assert tuple(of_ehebb != 0) == EHEBB[row]


@pytest.mark.parametrize("sizes", [(784, 47), (784, 30, 47), (784, 170, 130, 100, 70, 47)])
def test_table_1_is_about_three_layers(sizes):
    with pytest.raises(ConfigError, match=r"three layers of weights, so sizes are four, not \(784, "):
        Table1(sizes=sizes)


PENALTIES = {
    "pool_none": NoPenalty(),
    "pool_l1": L1(0.5),
    "pool_l2": L2(8.0),
    "pool_elastic": ElasticNet(0.25, 4.0),
    "pool_top": NoPenalty(),
}


def test_each_arm_of_fig_s5_has_its_penalty():
    experiment = FigS5(l1=0.5, l2=8.0)
    assert {arm: experiment.learner(arm).penalty for arm in experiment.arms} == PENALTIES
    assert FigS5.labels.keys() == PENALTIES.keys()


def test_each_arm_of_the_path_has_its_factor():
    assert [Fig4Path().learner(arm).penalty for arm in Fig4Path.arms] == [L1(factor) for factor in FACTORS]


@pytest.mark.parametrize(
    ("arm", "penalty", "feedback", "terms"),
    [
        ("bp", NoPenalty(), Symmetric(), 1),
        ("fa", NoPenalty(), RandomFixed(), 1),
        ("pool", L1(2.5), RandomFixed(), 10),
    ],
)
def test_only_the_pool_of_fig_4_is_charged(arm, penalty, feedback, terms):
    learner = Fig4(l1=2.5).learner(arm)
    assert learner.penalty == penalty
    assert learner.feedback == feedback
    assert len(learner.rule.terms) == terms


def test_arms_of_one_term_step_in_the_papers_scales():
    experiment = Fig4(sizes=small.SIZES, meta_learning_rate=0.01)
    learner = experiment.learner("fa")
    parameters = mp.learners.split(learner)[0]
    optimizer = experiment.optimizer("fa", learner, experiment.scales(learner, NO_TASK))
    updates: Any = optimizer.update(parameters, optimizer.init(parameters), parameters)[0]
    np.testing.assert_allclose(updates.rule.coefficients.values, [-0.01], rtol=1e-3)


@pytest.mark.parametrize("arm", [arm for experiment in (FigS5, Fig4Path) for arm in experiment.arms])
def test_all_arms_start_with_the_same_ten_terms(arm):
    experiment = FigS5() if arm in FigS5.arms else Fig4Path()
    assert experiment.rule(arm) == mp.rules.pool()


def test_only_one_arm_selects():
    assert [arm for arm in FigS5.arms if FigS5().selection(arm)] == ["pool_top"]


@pytest.mark.parametrize("keep", [0, -1, 11])
def test_terms_to_keep(keep):
    with pytest.raises(ConfigError, match=f"keep must be one to ten terms, not {keep}"):
        FigS5(keep=keep)


@pytest.mark.usefixtures("few_glyphs")
def test_hard_selection_leaves_so_many_terms(tmp_path, monkeypatch):
    monkeypatch.setattr(FigS5, "arms", ("pool_top",))
    monkeypatch.setattr("metaplax.experiments.shervani2023.online.stable_scales", lambda *_: (1.0, 0.125) * 5)
    experiment = FigS5(
        meta_steps=6, trials=2, shots=4, queries=2, data="glyphs", sizes=(784, 12, 47), keep=4, estimator="reverse"
    )
    rows = run(experiment, RunOptions(out=tmp_path)).rows()
    theta = np.array([[row[f"theta{term}"] for term in range(10)] for row in rows])
    assert np.isfinite(theta).all()
    left = np.count_nonzero(theta, axis=1)
    np.testing.assert_array_equal(left, [[1, 1], [10, 10], [10, 10], [7, 7], [4, 4], [4, 4], [4, 4]])


@pytest.mark.parametrize("scales", [None, (1.0, 0.125) * 5])
def test_hard_selection_in_any_scales(scales):
    experiment = FigS5(sizes=small.SIZES, meta_steps=6, keep=4)
    learner = experiment.learner("pool_top")
    optimizer = experiment.optimizer("pool_top", learner, scales)
    parameters: Any = mp.learners.split(learner)[0]
    state = optimizer.init(parameters)
    for key in jax.random.split(jax.random.key(0), experiment.meta_steps):
        gradient = jax.tree.map(lambda leaf, key=key: jax.random.normal(key, leaf.shape), parameters)
        updates, state = optimizer.update(gradient, state, parameters)
        parameters = jax.tree.map(jnp.add, parameters, updates)
    assert np.count_nonzero(parameters.rule.coefficients.values) == 4


@pytest.mark.usefixtures("few_glyphs")
def test_fig_4_runs_to_a_result(tmp_path, monkeypatch):
    # The others are those of Fig. 3, and would have to be compiled, too.
    monkeypatch.setattr(Fig4, "arms", ("pool",))
    smoke: Any = preset("shervani2023/fig4", "smoke")
    experiment = replace(smoke, data="glyphs", sizes=(784, 12, 47), shots=3, estimator="reverse")
    folder = run(experiment, RunOptions(preset="smoke", out=tmp_path))
    result = json.loads((folder.path / "result.json").read_text())
    assert (result["experiment"], result["preset"]) == ("shervani2023/fig4", "smoke")
    means = {quantity["name"]: quantity["mean"] for quantity in result["quantities"]}
    theta = {name: mean for name, mean in means.items() if name.startswith("theta")}
    assert theta.keys() == {f"theta{term}.pool" for term in range(10)}
    assert np.isfinite(list(theta.values())).all()
    assert all(theta.values()), "all have moved"


def test_arms_have_no_dots_in_their_names():
    """A dot in the name of a study stands between arm and condition."""
    named = [arm for kind in (Fig4, Fig4Path, FigS5) for arm in kind.arms]
    assert "pool_l1_0_3" in named
    assert not [arm for arm in named if "." in arm]
