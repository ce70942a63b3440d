"""Every kind of study runs in double precision, which the other tests run in single precision, and keeps its types."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import metaplax as mp
import small
from metaplax.experiments import EstimatorComparison, RunOptions, run
from metaplax.experiments.lindsey2020.base import AbstractStreamExperiment
from metaplax.experiments.lindsey2020.interference import Interference
from metaplax.experiments.lindsey2020.regression import RegressionContinual
from metaplax.experiments.shervani2023.generalisation import Generalisation
from metaplax.experiments.shervani2023.online_digits import Fig1
from metaplax.experiments.zucchet2022.metaopt import MetaoptMNIST
from metaplax.experiments.zucchet2022.spiking import SpikingSinusoid
from metaplax.experiments.zucchet2022.wheel_bandit import WheelBandit
from metaplax.optim import polyak_average
from metaplax.runs import CheckpointError, Checkpoints

SIZES = (784, 4, 47)
SMOKE = {"data": "glyphs", "trials": 1}
EXPERIMENTS = {
    "OnlineLearning": lambda: Fig1(**SMOKE, images=20, every=10, queries=20, sizes=SIZES),
    "MetaTraining, Transfer": lambda: Generalisation(
        **SMOKE, meta_steps=2, sizes=SIZES, shots=2, queries=1, test_episodes=1, conditions=("held_out",),
        other_data=(), streams=(),
    ),
    "StreamScores": lambda: RegressionContinual(
        trials=1, meta_steps=2, test_episodes=1, tuned_for="quick", sizes=(4, 4), functions=1, minibatches=2, batch=2
    ),
    "Untrained, UpdateInterference": lambda: Interference(
        **SMOKE, meta_steps=2, test_episodes=1, tuned_for="quick", ways=2, shots=2, queries=2, channels=2,
        strides=(4, 2), hidden=4, outputs=4, test_counts=(2,),
    ),
    "DecaySearch": lambda: MetaoptMNIST(
        **SMOKE, meta_steps=2, learn_from=4, held_back=4, test_images=4, batch=2, inner_steps=2, nudged_steps=2,
        tuned_for="quick", width=2, depth=1,
    ),
    "ExampleTask": lambda: SpikingSinusoid(
        trials=1, arms=("cml",), meta_steps=1, test_episodes=1, hidden=3, shots=2, queries=2, steps=3, tuned_for="smoke"
    ),
    "BanditStudy": lambda: WheelBandit(
        trials=1, players=("lin_greedy",), draws=2, plays=200, rows=2, deltas=(0.5,), hidden=4, tuned_for="smoke"
    ),
    "EstimatorStudy": lambda: EstimatorComparison(
        **SMOKE, base="smoke", arm="fa", meta_steps=1, probes=1, estimators=("checkpointed",)
    ),
}  # fmt: skip
ARMS = {Fig1: ("fa",), Generalisation: ("fa",), MetaoptMNIST: ("search",)}


@pytest.mark.parametrize("kind", EXPERIMENTS)
@pytest.mark.usefixtures("few_glyphs", "x64")
def test_double_precision(kind, tmp_path, monkeypatch):
    for experiment, arms in ARMS.items():
        monkeypatch.setattr(experiment, "arms", arms)
    settings, arm = AbstractStreamExperiment.arms, "bp" if "Untrained" in kind else "flp"
    monkeypatch.setattr(AbstractStreamExperiment, "arms", lambda self: {arm: settings(self)[arm]})
    folder = run(EXPERIMENTS[kind](), RunOptions(out=tmp_path))
    assert any(row.get("final") for row in folder.rows())


@pytest.mark.parametrize("x64", [False, True])
def test_a_checkpoint_of_the_other_precision_is_refused(x64, tmp_path):
    saved, wanted = (np.zeros(2, dtype) for dtype in ((np.float32, np.float64) if x64 else (np.float64, np.float32)))
    with jax.enable_x64(x64):
        Checkpoints(tmp_path, "one").save(1, {"a": saved})
        with pytest.raises(CheckpointError, match=f"holds {saved.dtype} in place of {wanted.dtype}.*JAX_ENABLE_X64"):
            Checkpoints(tmp_path, "one").latest({"a": wanted})


@pytest.mark.parametrize("x64", [False, True])
def test_an_optimiser_may_keep_the_parameters_themselves(x64):
    """Their buffer was donated twice, which ended the process."""
    with jax.enable_x64(x64):
        optimizer = optax.chain(optax.sgd(0.1), polyak_average(0))
        found = mp.meta_train(
            small.learner(rule=mp.rules.gradient()), small.Blobs(), mp.estimators.Reversible(), optimizer, 2,
            key=jax.random.key(0),
        )  # fmt: skip
        assert jax.tree.leaves(found.mean().rule.coefficients)[0].dtype == jnp.result_type(float)
