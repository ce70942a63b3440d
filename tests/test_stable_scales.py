"""Scales of coefficients: how large one can get before episodes explode, and optimisers that step in such scales."""

from importlib import import_module

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import metaplax as mp
import small
from metaplax.optim import hard_threshold, rescaled
from metaplax.plasticity import (
    AbstractTerm,
    Outer,
    PopulationGatedGradient,
    PseudoGradient,
    Rule,
    Sharing,
    WeightDecay,
    shared,
)
from metaplax.training import stability_radii, stable_scales

KEY = jax.random.key(5)
GRID = (1e-5, 3.16e-5, 1e-4, 3.16e-4, 1e-3, 3.16e-3, 1e-2, 3.16e-2, 0.1, 0.316, 1.0)
INFINITE = float("inf")


class Silent(AbstractTerm):
    """Changes nothing, whatever its coefficient."""

    name = text = latex = "silent"

    def __call__(self, signals):
        return Outer(jnp.zeros_like(signals.post), signals.pre)


class Deafening(AbstractTerm):
    """Even the smallest coefficient that is tried makes the loss NaN."""

    name = text = latex = "deafening"

    def __call__(self, signals):
        return Outer(1e35 * signals.post_error, signals.pre_error)


TERMS = (PseudoGradient(), WeightDecay(), PopulationGatedGradient(), Silent(), Deafening())
START = (0.01, 0.02, 0.0, 0.3, 0.0)


def learner(sharing: Sharing = "global") -> mp.PlasticLearner:
    return small.learner(rule=Rule(TERMS, shared(START, sharing, small.SIZES)))


@pytest.fixture(scope="module")
def radii():
    return stability_radii(learner(), small.Blobs(), KEY)


@pytest.fixture(scope="module")
def worst():
    """The larger outer loss of the two episodes, as a function of the coefficients."""

    @jax.jit
    def loss(values, key):
        changed = eqx.tree_at(lambda learner: learner.rule.coefficients.values, learner(), values)
        task_key, learner_key = jax.random.split(key)
        return changed.run(small.Blobs().sample(task_key), learner_key)[0]

    return lambda values: np.max([loss(jnp.asarray(values, jnp.float32), key) for key in jax.random.split(KEY, 2)])


@pytest.mark.parametrize("term", range(len(TERMS)))
def test_a_radius_is_the_smallest_coefficient_that_explodes(term, radii, worst):
    harmless = 1.5 * worst(START)
    direction = np.eye(len(TERMS))[term]
    for size in GRID:
        if not all(worst(START + sign * size * direction) < harmless for sign in (1, -1)):
            assert radii[term] == size
            return
    assert radii[term] == INFINITE


def test_a_loss_that_is_no_number_is_an_explosion(radii, worst):
    assert np.isnan(worst((*START[:-1], GRID[0])))
    assert radii[-1] == GRID[0]


def test_terms_that_explode_have_smaller_radii_than_those_that_do_not(radii):
    gradient, decay, gated, silent, deafening = radii
    assert silent == INFINITE
    assert deafening < decay < silent
    assert deafening < gated < silent
    assert gradient in GRID


@pytest.mark.parametrize("sharing", ["layer", "synapse"])
def test_radii_do_not_depend_on_who_shares_a_coefficient(sharing, radii):
    assert stability_radii(learner(sharing), small.Blobs(), KEY) == radii


def test_stable_scales_are_a_twentieth_of_the_way_to_an_explosion(radii):
    scales = stable_scales(learner(), small.Blobs(), KEY, 3e-3)
    np.testing.assert_allclose(scales, [min(1, radius / (20 * 3e-3)) for radius in radii], rtol=5e-3)
    assert max(scales) == 1
    assert min(scales) < 1


@pytest.mark.parametrize(
    ("radius", "rate", "scale"),
    [(INFINITE, 1e-3, 1.0), (1.0, 1e-3, 1.0), (0.1, 5e-3, 1.0), (0.01, 1e-3, 0.5), (3.16e-5, 1e-3, 1.58e-3),
     (1e-5, 0.1, 5e-6), (1.0, 0.5, 0.1), (INFINITE, 1e3, 1.0)],
)  # fmt: skip
def test_scales_by_hand(radius, rate, scale, monkeypatch):
    monkeypatch.setattr(import_module("metaplax.training.stable_scales"), "stability_radii", lambda *_: (radius,))
    assert stable_scales(learner(), small.Blobs(), KEY, rate) == (pytest.approx(scale, rel=1e-6),)


PARAMETERS = {"a": jnp.array([0.3, -0.2, 0.0]), "b": (jnp.array([[1.0, -0.5]]),)}
SCALES = {"a": jnp.array([1.0, 0.03, 2e-4]), "b": (jnp.array([[0.158, 2.0]]),)}
ONES = jax.tree.map(jnp.ones_like, PARAMETERS)


def pulled_home() -> optax.GradientTransformation:
    """Gradient descent with a pull to where it started."""

    def update(updates, state, params=None):
        assert params is not None
        return jax.tree.map(lambda g, p, s: -0.05 * g - 0.3 * (p - s), updates, params, state), state

    return optax.GradientTransformation(lambda params: params, update)


OPTIMIZERS = {
    "adam": optax.adam(0.05),
    "adamw": optax.adamw(0.05, weight_decay=0.3),
    "home": pulled_home(),
    "momentum": optax.sgd(0.05, momentum=0.9),
    "clipped": optax.chain(optax.clip_by_global_norm(0.1), optax.adam(0.05)),
}


def slope(theta):
    """Gradient of a loss that is no parabola, and in which all parameters meet."""
    total = sum(jnp.sum(jnp.sin(leaf + 1)) for leaf in jax.tree.leaves(theta))
    return jax.tree.map(lambda leaf: total * jnp.cos(leaf + 1) + 0.1 * leaf**3, theta)


def descend(optimizer, gradient, parameters, steps=6):
    state, path = optimizer.init(parameters), []
    for _ in range(steps):
        updates, state = optimizer.update(gradient(parameters), state, parameters)
        parameters = optax.apply_updates(parameters, updates)
        path.append(parameters)
    return path


def times(a, b):
    return jax.tree.map(jnp.multiply, a, b)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_is_the_optimiser_on_the_rescaled_problem(name):
    measured = jax.tree.map(jnp.divide, PARAMETERS, SCALES)
    expected = descend(OPTIMIZERS[name], lambda c: times(slope(times(c, SCALES)), SCALES), measured)
    found = descend(rescaled(OPTIMIZERS[name], SCALES), slope, PARAMETERS)
    for theta, c in zip(found, expected, strict=True):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-7), theta, times(c, SCALES))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_scales_of_one_change_no_bit(name):
    found, expected = (descend(o, slope, PARAMETERS) for o in (rescaled(OPTIMIZERS[name], ONES), OPTIMIZERS[name]))
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_steps_of_gradient_descent_grow_with_the_square_of_the_scales():
    optimizer = rescaled(optax.sgd(0.1), SCALES)
    updates, _ = optimizer.update(slope(PARAMETERS), optimizer.init(PARAMETERS))
    squares = times(times(SCALES, SCALES), slope(PARAMETERS))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, -0.1 * b, rtol=1e-6), updates, squares)


def test_the_first_step_of_adam_is_its_rate_in_every_scale():
    optimizer = rescaled(optax.adam(0.05), SCALES)
    updates, _ = optimizer.update(slope(PARAMETERS), optimizer.init(PARAMETERS))
    jax.tree.map(lambda a, scale: np.testing.assert_allclose(jnp.abs(a), 0.05 * scale, rtol=1e-3), updates, SCALES)


@pytest.mark.parametrize("scale", [0.0158, 0.158, 0.79])
def test_what_hard_selection_removes_is_exactly_zero_in_any_scale(scale):
    start = jax.random.normal(KEY, (64,))
    optimizer = rescaled(optax.chain(optax.sgd(0.0), hard_threshold(8, 0, 1)), jnp.full(64, scale))
    assert np.count_nonzero(descend(optimizer, jnp.zeros_like, start, steps=2)[-1]) == 8
