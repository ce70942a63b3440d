"""Numbers are arguments of compiled programs: what differs in these only is compiled once."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import monitoring

import every
import metaplax as mp
import small
from metaplax.estimators import Reverse
from metaplax.learners import Descent
from metaplax.networks import SquaredError
from metaplax.optim import clip_by_running_rms, polyak_average, rescaled
from metaplax.plasticity import L1, Rule, shared
from metaplax.training import choose_layout, programs


@pytest.fixture
def heard():
    """What JAX says of its compiler and its cache, in the order in which it does."""
    names: list[str] = []

    def hear(name: str, *_: float, **__: object) -> None:
        names.append(name.rpartition("/")[2])

    monitoring.register_event_duration_secs_listener(hear)
    monitoring.register_event_listener(hear)
    yield names
    monitoring.unregister_event_duration_listener(hear)
    monitoring.unregister_event_listener(hear)


def train(rate=1e-2, clip=1.0, penalty=0.1, coefficient=0.1, noise=0.1, seed=0):
    rule = Rule(mp.rules.ehebb().terms, shared((coefficient, 0.01)))
    pathway = mp.feedback.Noisy(mp.feedback.RandomFixed(), sd=noise)
    learner = mp.OnlinePlasticity(mp.MLP(small.SIZES), rule, pathway, penalty=L1(penalty))
    optimizer = optax.chain(optax.clip_by_global_norm(clip), optax.adam(rate))
    key = jax.random.key(seed)
    found = mp.meta_train(learner, small.Blobs(), Reverse(), optimizer, 2, key=key)
    return np.concatenate(
        [found.learner.rule.coefficients.values.ravel(), [row["loss"].sum() for row in found.history]]
    )


OUTER, INNER, SEED = {"rate": 2e-2, "clip": 1e-3}, {"penalty": 0.3, "coefficient": 0.2, "noise": 0.5}, {"seed": 1}


def test_other_numbers_compile_nothing_and_count(heard, monkeypatch):
    usual = train()
    heard.clear()
    found = [train(**others) for others in (OUTER, INNER, SEED)]
    assert "jaxpr_to_mlir_module_duration" in heard
    assert "backend_compile_duration" not in heard
    assert all(np.abs(changed - usual).max() > 1e-5 for changed in found)
    monkeypatch.setattr(programs, "is_number", lambda leaf: False)
    np.testing.assert_allclose(found[1], train(**INNER), rtol=1e-5, atol=1e-7)


def descend(minimiser):
    """Losses of a meta-training whose inner loop descends an energy."""
    learner = mp.ComplexSynapse(every.DENSE, SquaredError(), minimiser, 0.3)
    found = mp.meta_train(learner, every.Drawn(), Reverse(), optax.adam(1e-2), 2, key=jax.random.key(0))
    return [row["loss"].sum() for row in found.history]


def test_other_rates_of_an_inner_descent_compile_nothing_and_count(heard):
    usual = descend(Descent(optax.adam(1.0), 3, rate=0.1))
    heard.clear()
    other = descend(Descent(optax.adam(1.0), 3, rate=0.3))
    assert "backend_compile_duration" not in heard
    assert np.abs(np.subtract(usual, other)).min() > 1e-4
    np.testing.assert_allclose(other, descend(Descent(optax.adam(0.3), 3)), rtol=1e-6)


def test_another_process_takes_the_program_from_the_cache(heard):
    least = jax.config.jax_persistent_cache_min_compile_time_secs
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    try:
        for numbers in ({}, {**OUTER, **INNER, **SEED}):
            # What another process does not have.
            programs.forget()
            jax.clear_caches()
            heard.clear()
            train(**numbers)
        assert "cache_hits" in heard
        assert "cache_misses" not in heard
    finally:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", least)


PARAMETERS = {"a": jnp.array([0.3, -2.0]), "b": jnp.ones((2, 2))}


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.adam(3e-3),
        optax.chain(optax.clip(0.5), optax.adamw(optax.cosine_decay_schedule(0.1, 5), weight_decay=0.03)),
        rescaled(optax.chain(clip_by_running_rms(2.0), optax.sgd(0.1, momentum=0.9)), PARAMETERS),
        optax.chain(optax.adam(0.1), polyak_average(1)),
    ],
)
def test_an_optimiser_with_its_numbers_as_leaves_gives_the_same_updates(optimizer):
    state = optimizer.init(PARAMETERS)
    gradient = jax.tree.map(jnp.sin, PARAMETERS)
    taken = programs.TracedUpdate(optimizer.update, PARAMETERS, state, PARAMETERS)
    assert jax.tree.leaves(taken)
    for _ in range(3):
        updates, after = optimizer.update(gradient, state, PARAMETERS)
        same = partial(np.testing.assert_allclose, rtol=1e-6)
        jax.tree.map(same, taken.update(gradient, state, PARAMETERS), (updates, after))
        state = after


def step(function, given):
    """What a compiled step that returns ``function(given, state)`` gives."""
    keys, start = jax.random.split(jax.random.key(0), 2), jnp.ones(2)
    one_trial = lambda given, index, state, key: (function(given, state), {})  # noqa: E731
    return np.asarray(programs.compile_step(choose_layout(2), one_trial, given, keys, start)(0, start)[0])


def test_what_is_decided_by_a_number_in_python_stays_right(heard):
    negated = lambda rate, state: rate * state if rate > 0.3 else -state  # noqa: E731
    assert [step(negated, rate)[0] for rate in (0.2, 0.4, 0.8)] == pytest.approx([-1.0, 0.4, 0.8])


FACTOR = 2.0


def test_a_global_that_has_changed_is_noticed(monkeypatch):
    scaled = lambda given, state: FACTOR * state  # noqa: E731
    assert step(scaled, None)[0] == 2
    monkeypatch.setitem(globals(), "FACTOR", 3.0)
    assert step(scaled, None)[0] == 3


def test_programs_that_call_python_are_not_mixed_up():
    def calling(value):
        told = lambda state: jax.pure_callback(lambda x: np.float32(value) * x, state, state)  # noqa: E731
        return step(lambda given, state: told(state), None)[0]

    assert (calling(2), calling(3)) == (2, 3)


def test_few_programs_are_remembered():
    programs.forget()
    for size in range(programs.MOST + 2):
        programs.compile_once(jax.jit(jnp.sin).trace(jnp.ones(size + 2)))
    assert len(programs._remembered) == programs.MOST


def test_updates_under_a_mask_are_undone():
    """A drawn mask stays a constant, although numbers are arguments: a fallback would be a warning, thus an error."""
    layers = mp.networks.Dense(12, 9, constraint=mp.constraints.Sparse(0.5)), mp.networks.Dense(9, 6)
    learner = mp.OnlinePlasticity(mp.networks.Sequential(*layers), mp.rules.f_bio(), mp.feedback.RandomFixed())
    train = partial(
        mp.meta_train, learner, small.Blobs(), optimizer=optax.sgd(1e-3), meta_steps=2, key=jax.random.key(0)
    )
    found, exact = (train(estimator=one()) for one in (mp.estimators.Reversible, Reverse))
    ours, theirs = (one.learner.rule.coefficients.values for one in (found, exact))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
