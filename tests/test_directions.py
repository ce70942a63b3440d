"""Implicit meta-gradients linearise the direction in which the inner loop descends, whatever it is."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jaxtyping import Array, Float

import metaplax as mp
from every import KEY, LEARNERS, shapes
from metaplax.estimators import (
    T1T2,
    ConjugateGradient,
    Contrastive,
    ImplicitDirect,
    Neumann,
    Reptile,
    Reverse,
    Truncated,
)
from metaplax.learners import (
    AbstractEnergyLearner,
    AbstractMinimiser,
    ComplexSynapse,
    Descent,
    EProp,
    IncompatibleError,
    Newton,
    SpikingLearner,
)
from metaplax.networks import EquinoxNetwork, RecurrentLIF, SquaredError
from metaplax.tasks import Episode, Examples


class Local(AbstractEnergyLearner):
    """Fast numbers that follow a linear rule ``A (x - a) + (x - w)``, which is the gradient of no energy.

    It rests at ``x = (A + I)^-1 (A a + w)``, so that ``dx/dw = (A + I)^-1``.
    """

    w: Float[Array, " n"]
    matrix: np.ndarray = eqx.field(static=True)
    minimiser: AbstractMinimiser

    def untrained(self):
        return ()

    def begin(self, key):
        return self.w, ()

    def regulariser(self, fast):
        return 0.5 * jnp.sum((fast - self.w) ** 2)

    def inner_loss(self, fast, buffers, examples, training):
        return 0.5 * jnp.sum((fast - examples[0]) ** 2), buffers

    def direction(self, fast, buffers, support, query=None, beta=0.0):
        found = jnp.asarray(self.matrix) @ (fast - support[0]) + (fast - self.w)
        return found if query is None else found + beta * (fast - query[0]), buffers

    def evaluate(self, state, query):
        return self.inner_loss(state.fast, (), query, False)[0], {}

    def check(self, episode, classes=None): ...


class Fixed:
    """A matrix that can be a static field: equal to itself only."""

    def __init__(self, values):
        self.values = np.asarray(values, float)

    def __array__(self, dtype=None, copy=None):
        return self.values if dtype is None else self.values.astype(dtype)


MATRIX = np.array([[4.0, 1.5, 0.0], [-1.0, 3.0, 0.5], [0.0, 0.8, 2.0]])
SOLVERS = {
    "cg": ConjugateGradient(30),
    "neumann": Neumann(0.15, 300),
    "direct": ImplicitDirect(),
    "reverse": Reverse(),
}


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("minimiser", [Descent(optax.sgd(0.1), 300), Newton(20)], ids=["descent", "newton"])
def test_the_direction_that_is_used_is_linearised(name, minimiser):
    if name == "reverse" and isinstance(minimiser, Newton):
        pytest.skip("Newton's method is not unrolled")
    w, a, goal = (jax.random.normal(jax.random.fold_in(KEY, k), (3,)) for k in range(3))
    learner = Local(w, Fixed(MATRIX), minimiser)
    episode = Episode(a[None], goal[None])
    rest = np.linalg.solve(MATRIX + np.eye(3), MATRIX @ a + w)
    expected = np.linalg.solve((MATRIX + np.eye(3)).T, rest - goal)
    SOLVERS[name].check(learner, episode)
    gradient = SOLVERS[name].value_and_grad(learner, episode, KEY).gradient
    np.testing.assert_allclose(gradient.w, expected, rtol=1e-6)


@pytest.mark.usefixtures("x64")
def test_eprop_is_linearised_and_not_the_energy():
    """Close to where e-prop comes to rest, the implicit gradient is the exact one."""
    network = RecurrentLIF(4, 3, gains=(1.0, 0.3, 0.1))
    task = mp.tasks.SpikingSinusoids(2, 2, 8, 4, 0.3)
    descent = Descent(optax.sgd(0.002), 1500)
    learner = SpikingLearner(network, EProp(modulation=(1.0, 1.0, 1.0)), descent, 100.0)
    episode = task.sample(KEY)
    exact, implicit = (
        jax.jit(lambda e, estimator=estimator: estimator.value_and_grad(learner, e, KEY).gradient.omega)(episode)
        for estimator in (Reverse(), ImplicitDirect(throw=False))
    )
    flat = [np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)]) for tree in (exact, implicit)]
    # The outer loss that nudges differs from the one that is recorded by a factor, so only directions are compared.
    cosine = flat[0] @ flat[1] / np.linalg.norm(flat[0]) / np.linalg.norm(flat[1])
    assert cosine > 1 - 1e-6


NO_PULL = ("ComplexSynapse, no pull (MAML)", "SpikingLearner, no pull")


@pytest.mark.parametrize("name", NO_PULL)
@pytest.mark.parametrize("estimator", [Truncated(2), Contrastive(0.1), T1T2(), ConjugateGradient()], ids=str)
def test_what_would_be_zero_is_refused_when_checked_and_when_used(name, estimator):
    case = LEARNERS[name]
    for refuse in (
        lambda: estimator.check(case.make(), shapes(case)),
        lambda: estimator.value_and_grad(case.make(), case.task.sample(KEY), KEY),
    ):
        if isinstance(estimator, (T1T2, ConjugateGradient)):
            # The outer loss depends on no meta-parameter of its own, and neither does the energy.
            with pytest.raises(IncompatibleError, match="would be zero: neither"):
                refuse()
        else:
            with pytest.raises(IncompatibleError, match="would be zero"):
                refuse()


@pytest.mark.parametrize(
    ("name", "estimator"),
    [("OnlineGradient, all", Truncated(2)), ("MetaRegularised", Reptile()), ("GainModulation", Reptile())],
)
def test_other_pairs_that_would_be_zero(name, estimator):
    case = LEARNERS[name]
    with pytest.raises(IncompatibleError, match="would be zero"):
        estimator.check(case.make(), shapes(case))


class Masked(eqx.Module):
    """A module of one's own with an integer mask and a Boolean one."""

    linear: eqx.nn.Linear
    mask: jax.Array | None
    gate: jax.Array | None

    def __init__(self, key):
        self.linear = eqx.nn.Linear(4, 3, key=key)
        self.mask, self.gate = jnp.array([1, 0, 0, 0]), jnp.array([True, False, True])

    def __call__(self, x):
        x = x if self.mask is None else x * self.mask
        y = self.linear(x)
        return y if self.gate is None else jnp.where(self.gate, y, 0)


def test_modules_of_ones_own_keep_integer_and_boolean_arrays():
    network, x = EquinoxNetwork(Masked), jnp.ones((2, 4))
    weights, buffers = network.init(KEY)
    expected = jax.vmap(Masked(KEY))(x)
    np.testing.assert_array_equal(network(weights, buffers, x, True)[0], expected)
    learner = ComplexSynapse(network, SquaredError(), Descent(optax.sgd(0.1), 3), 0.3)
    episode = Episode(*(Examples(x, jnp.ones((2, 3))),) * 2)
    for estimator in (Reverse(), Contrastive(0.1), ConjugateGradient(3, throw=False)):
        gradient = jax.jit(lambda e, estimator=estimator: estimator.value_and_grad(learner, e, KEY))(episode).gradient
        assert np.isfinite(gradient.omega.linear.weight).all()
        np.testing.assert_array_equal(gradient.omega.linear.weight[:, 1:], 0.0)


@pytest.mark.parametrize("form", ["whole", "online"])
@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
@pytest.mark.parametrize("inputs_too", [True, False])
def test_eprop_in_half_precision(form, dtype, inputs_too):
    case = LEARNERS["SpikingLearner, e-prop"]
    learner = SpikingLearner(case.make().network, EProp(form=form), Descent(optax.sgd(0.01), 3), 0.1)
    half = eqx.tree_at(lambda it: it.omega, learner, jax.tree.map(lambda leaf: leaf.astype(dtype), learner.omega))
    support = case.task.sample(KEY).support
    given = jax.tree.map(lambda leaf: leaf.astype(dtype), support) if inputs_too else support
    found = half.adapt(half.init(KEY), given, KEY)
    exact = learner.adapt(learner.init(KEY), support, KEY)
    for a, b in zip(jax.tree.leaves(found.fast), jax.tree.leaves(exact.fast), strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(a.astype(jnp.float32), b, rtol=0.1, atol=0.1)
