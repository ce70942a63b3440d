"""Inner loops for estimators without derivatives: what makes them hard, and that both experiments run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaplax.estimators import Checkpointed, PersistentES
from metaplax.experiments import LongInnerLoop, RunOptions, SampledActions, preset, run
from metaplax.experiments.hard_to_differentiate import RewardGated, teacher
from metaplax.tasks import Examples

KEY = jax.random.key(0)


def test_the_derivative_explodes_in_a_long_loop_whose_loss_does_not():
    learner, episode = LongInnerLoop().learner(), teacher(10_000).sample(KEY)
    found = jax.jit(lambda: Checkpointed().value_and_grad(learner, episode, KEY))()
    size = jnp.linalg.norm(jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(found.gradient)]))
    assert found.loss < 1.0
    assert not size < 1e6


def test_reinforce_is_what_it_says():
    learner = RewardGated(jnp.log(jnp.asarray([0.5, 0.25])))
    weights, baseline = jnp.zeros((5, 10)).at[3, 0].set(50.0), jnp.asarray(0.5)
    x = jnp.zeros(10).at[0].set(1.0).at[4].set(2.0)
    # With such weights action 3 is certain: nothing but the baseline is left to learn.
    for right, expected in ((3, 0.5 + 0.25 * 0.5), (1, 0.5 - 0.25 * 0.5)):
        after, value = learner.update((weights, baseline), Examples(x, jnp.int32(right)), KEY)
        np.testing.assert_allclose(after, weights, atol=1e-6)
        np.testing.assert_allclose(value, expected, rtol=1e-6)
    after, _ = learner.update((jnp.zeros((5, 10)), jnp.asarray(0.0)), Examples(x, jnp.int32(0)), KEY)
    action = jax.random.categorical(KEY, jnp.zeros(5))
    expected = (action == 0) * 0.5 * np.outer(np.eye(5)[action] - 0.2, x)
    np.testing.assert_allclose(after, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", [SampledActions, LongInnerLoop])
def test_they_run(kind, tmp_path):
    rows = run(preset(kind.name, "smoke"), RunOptions(out=tmp_path)).rows()
    assert np.all(np.isfinite([row["loss"] for row in rows if not row.get("final")]))
    assert isinstance(LongInnerLoop().estimator(), PersistentES)
