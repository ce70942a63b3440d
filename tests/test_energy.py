"""Energy learners, and every estimator on a problem whose meta-gradient has a closed form."""

from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import metaplax as mp
from metaplax.estimators import (
    RESULTS,
    T1T2,
    Checkpointed,
    ConjugateGradient,
    Contrastive,
    ForwardMode,
    ImplicitDirect,
    Neumann,
    Reverse,
    Truncated,
)
from metaplax.experiments.zucchet2022.quadratic import Bowl, Quadratic, RandomBowls
from metaplax.learners import Descent, IncompatibleError, Inexact, Newton
from metaplax.tasks import Episode

KEY = jax.random.key(3)
SIZE = 6


@pytest.fixture
def problem(x64):
    """A learner and an episode."""
    del x64
    omega, strength = jax.random.normal(KEY, (SIZE,)), jnp.exp(jax.random.normal(jax.random.fold_in(KEY, 1), (SIZE,)))
    return Quadratic(omega, strength), RandomBowls(SIZE).sample(jax.random.fold_in(KEY, 2))


def minimum(learner: Quadratic, episode: Episode, beta: float = 0.0) -> jax.Array:
    """``phi_beta``, the minimiser of ``E + beta C``."""
    inner, outer = episode.support, episode.query
    matrix = inner.curvature + jnp.diag(learner.strength) + beta * outer.curvature
    pulled = learner.strength * learner.omega
    right_side = inner.curvature @ inner.centre + pulled + beta * outer.curvature @ outer.centre
    return jnp.linalg.solve(matrix, right_side)


def meta_gradient(learner: Quadratic, episode: Episode) -> Quadratic:
    """In the learner's own structure."""
    free = minimum(learner, episode)
    matrix = episode.support.curvature + jnp.diag(learner.strength)
    pull = jnp.linalg.solve(matrix, episode.query.curvature @ (free - episode.query.centre))
    values = learner.strength * pull, (learner.omega - free) * pull
    return eqx.tree_at(lambda tree: (tree.omega, tree.strength), learner, values)


def numbers(learner: Quadratic) -> np.ndarray:
    return np.concatenate([np.asarray(learner.omega), np.asarray(learner.strength)])


def error(estimator, learner: Quadratic, episode: Episode) -> float:
    found = numbers(eqx.filter_jit(estimator.value_and_grad)(learner, episode, KEY).gradient)
    exact = numbers(meta_gradient(learner, episode))
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def errors(estimator, field: str, values, learner: Quadratic, episode: Episode, keys=KEY[None]) -> np.ndarray:
    """Mean relative error for several values of one number of an estimator, in one program."""
    exact = mp.learners.split(meta_gradient(learner, episode))[0]

    def one(value):
        changed = eqx.tree_at(lambda tree: getattr(tree, field), estimator, value)
        found = jax.vmap(lambda key: changed.value_and_grad(learner, episode, key).gradient)(keys)
        differences = jax.vmap(lambda one: optax.tree.norm(jax.tree.map(jnp.subtract, one, exact)))(found)
        return jnp.mean(differences) / optax.tree.norm(exact)

    return np.asarray(jax.jit(lambda values: jax.lax.map(one, values))(jnp.asarray(values)))


def test_the_closed_form_is_the_derivative(problem):
    learner, episode = problem
    parameters, constants = mp.learners.split(learner)

    def outer(parameters):
        whole = mp.learners.join(parameters, constants)
        return episode.query(minimum(whole, episode))

    by_autodiff = numbers(jax.grad(outer)(parameters))
    assert np.allclose(numbers(meta_gradient(learner, episode)), by_autodiff, rtol=1e-12)


LONG = Descent(optax.sgd(0.2), 2000)


@pytest.mark.parametrize(
    "estimator",
    [ImplicitDirect(), ConjugateGradient(SIZE), ConjugateGradient(100, tolerance=1e-13), Neumann(0.2, 2000)],
    ids=["direct", "as many steps as parameters", "to a tolerance", "Neumann"],
)
def test_implicit_estimators_agree_with_the_closed_form(problem, estimator):
    learner, episode = problem
    assert error(estimator, learner, episode) < 1e-9


@pytest.mark.parametrize("estimator", [Reverse(), Checkpointed(), Truncated(1000), ForwardMode()], ids=repr)
def test_unrolled_estimators_agree_with_the_closed_form(problem, estimator):
    learner, episode = problem
    settled = eqx.tree_at(lambda tree: tree.minimiser, learner, LONG)
    assert error(estimator, settled, episode) < 1e-9


def test_t1t2_takes_the_curvature_for_the_identity(problem):
    learner, episode = problem
    flat = Episode(Bowl(0.5 * jnp.eye(SIZE), episode.support.centre), episode.query)
    half = eqx.tree_at(lambda tree: tree.strength, learner, jnp.full(SIZE, 0.5))
    assert error(T1T2(), half, flat) < 1e-9
    assert error(T1T2(), learner, episode) > 0.1


@pytest.mark.parametrize(("variant", "slope"), [("forward", 1), ("symmetric", 2), ("second_order", 2)])
def test_slopes_of_the_error_against_beta(problem, variant, slope):
    learner, episode = problem
    betas = np.geomspace(1e-3, 1e-2, 4)
    found = errors(Contrastive(1.0, variant), "beta", betas, learner, episode)
    assert abs(np.polyfit(np.log(betas), np.log(found), 1)[0] - slope) < 0.1


def test_the_forward_estimate_is_known_in_closed_form(problem):
    """``strength (M + beta K)^-1 K (phi_0 - b)`` with respect to ``omega``, for any ``beta``."""
    learner, episode = problem
    found = Contrastive(0.5).value_and_grad(learner, episode, KEY).gradient
    curvature = episode.support.curvature + jnp.diag(learner.strength) + 0.5 * episode.query.curvature
    pull = episode.query.curvature @ (minimum(learner, episode) - episode.query.centre)
    assert np.allclose(found.omega, learner.strength * jnp.linalg.solve(curvature, pull), rtol=1e-9)


def test_the_best_beta_moves_with_the_square_root_of_the_solution_error(problem):
    learner, episode = problem
    betas, best = np.geomspace(1e-4, 3, 60), []
    for distance in (1e-3, 1e-5):
        missing = eqx.tree_at(lambda tree: tree.minimiser, learner, Inexact(Newton(), distance))
        best.append(
            betas[np.argmin(errors(Contrastive(1.0), "beta", betas, missing, episode, jax.random.split(KEY, 40)))]
        )
    assert abs(np.log10(best[0] / best[1]) - 1) < 0.25, "a hundred times the error, ten times the strength"


def test_negative_nudging_is_nudging(problem):
    learner, episode = problem
    state = learner.init(KEY)
    for beta in (-0.1, 0.1):
        found = learner.minimise(state, episode.support, KEY, query=episode.query, beta=beta).fast
        assert np.allclose(found, minimum(learner, episode, beta), rtol=1e-9)
    released = Contrastive(0.1, "symmetric", as_released=True).value_and_grad(learner, episode, KEY).gradient
    forward = Contrastive(0.1).value_and_grad(learner, episode, KEY).gradient
    assert np.allclose(numbers(released), 0.5 * numbers(forward)), "half the forward difference"


def test_products_with_the_curvature_converge(problem):
    learner, episode = problem
    conjugate = errors(ConjugateGradient(throw=False), "steps", range(1, SIZE + 1), learner, episode)
    series = np.asarray([error(Neumann(0.2, k), learner, episode) for k in (1, 30, 1000)])
    for found in (conjugate, series):
        assert found[-1] < 1e-9 < found[0]
        assert all(b < a for a, b in pairwise(found))


def saddle(episode: Episode) -> Episode:
    """One direction of the energy curves downwards, even with the charge."""
    bent = episode.support.curvature - 100 * jnp.outer(jnp.eye(SIZE)[0], jnp.eye(SIZE)[0])
    return Episode(Bowl(bent, episode.support.centre), episode.query)


@pytest.mark.parametrize(
    ("estimator", "sentence", "bend"),
    [
        (ConjugateGradient(50), "curves downwards", saddle),
        (ImplicitDirect(), "curves downwards", saddle),
        (Neumann(0.2, 500), "series diverges", saddle),
        (Neumann(50.0, 100), "series diverges", lambda episode: episode),
        (ConjugateGradient(2, tolerance=1e-6), "not solved to the tolerance", lambda episode: episode),
        (Neumann(1e-3, 10, tolerance=1e-6), "not solved to the tolerance", lambda episode: episode),
        (T1T2(), "no finite solution", lambda episode: jax.tree.map(lambda leaf: leaf * jnp.nan, episode)),
    ],
)
def test_what_cannot_be_solved_is_said_in_a_sentence(problem, estimator, sentence, bend):
    learner, episode = problem
    with pytest.raises(RuntimeError, match=sentence):
        estimator.value_and_grad(learner, bend(episode), KEY)
    silent = eqx.tree_at(lambda tree: tree.throw, estimator, False)
    assert sentence in RESULTS[silent.value_and_grad(learner, bend(episode), KEY).result]


def test_a_descent_stops_at_its_tolerance(problem):
    learner, episode = problem
    patient = eqx.tree_at(lambda tree: tree.minimiser, learner, Descent(optax.sgd(0.2), 10_000, tolerance=1e-10))
    state = patient.adapt(patient.init(KEY), episode.support, KEY)
    assert np.allclose(state.fast, minimum(learner, episode), atol=1e-9)
    assert error(ConjugateGradient(SIZE), patient, episode) < 1e-8
    with pytest.raises(IncompatibleError, match="cannot be differentiated step by step"):
        Reverse().check(patient)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"steps": 0}, "at least 1 step"),
        ({"steps": 1, "batch": 0}, "at least 1 step on at least 1 example"),
        ({"steps": 1, "tolerance": -1.0}, "must not be negative"),
        ({"steps": 1, "batch": 2, "tolerance": 1.0}, "not both"),
    ],
)
def test_descents_that_make_no_sense(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        Descent(optax.sgd(0.1), **arguments)
