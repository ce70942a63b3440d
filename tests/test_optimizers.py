"""What surrounds Adam in the outer loop: clipping to what was recently seen, and hard selection."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metaplax.optim import clip_by_running_rms, hard_threshold

SCALES = np.array([1e-3, 1.0, 50.0])
RATE = 0.01


def stream(seed=0, steps=40) -> np.ndarray:
    """Gradients of three components of different scale, one in ten of which is a spike."""
    generator = np.random.default_rng(seed)
    spikes = np.where(generator.uniform(size=(steps, 3)) < 0.1, 1e4, 1.0)
    return (generator.normal(size=(steps, 3)) * spikes * SCALES).astype(np.float32)


def clipped_by_hand(gradients, factor, decay) -> np.ndarray:
    passed: list[np.ndarray] = []
    for gradient in gradients.astype(np.float64):
        if passed:
            ages = np.arange(len(passed))[::-1]
            recent = np.sqrt(np.average(np.square(passed), axis=0, weights=decay**ages))
            gradient = np.clip(gradient, -factor * recent, factor * recent)
        passed.append(gradient)
    return np.stack(passed)


def move(transformation, gradient, state) -> Any:
    return transformation.update(gradient, state)


def clipped(gradients, factor=2.0, decay=0.95) -> Any:
    """What the transformation lets through of a stream of gradients."""
    transformation = clip_by_running_rms(factor, decay)

    def step(state, gradient):
        passed, state = transformation.update(gradient, state)
        return state, passed

    return jax.lax.scan(step, transformation.init(jax.tree.map(lambda g: g[0], gradients)), gradients)[1]


@pytest.mark.parametrize(("factor", "decay"), [(2.0, 0.95), (1.5, 0.5), (10.0, 0.99)])
def test_clipping_as_written(factor, decay):
    found = clipped(jnp.asarray(stream()), factor, decay)
    np.testing.assert_allclose(found, clipped_by_hand(stream(), factor, decay), rtol=1e-3)
    assert np.any(np.abs(found) < 0.01 * np.abs(stream())), "there was something to clip"


def test_components_of_a_tree_are_clipped_for_themselves():
    gradients = jnp.asarray(stream())
    tree = clipped({"first": gradients[:, 0], "others": gradients[:, None, 1:]})
    together = clipped(gradients)
    np.testing.assert_allclose(tree["first"], together[:, 0], rtol=1e-6)
    np.testing.assert_allclose(tree["others"][:, 0], together[:, 1:], rtol=1e-6)


def test_clipping_without_jit_and_of_many_trials_at_once():
    streams = jnp.stack([jnp.asarray(stream(seed, 8)) for seed in range(3)])
    found = jax.jit(jax.vmap(clipped))(streams)
    for trial, gradients in zip(found, streams, strict=True):
        np.testing.assert_allclose(trial, clipped_by_hand(np.asarray(gradients), 2.0, 0.95), rtol=1e-3)
    transformation = clip_by_running_rms(2.0)
    state = transformation.init(streams[0, 0])
    for gradient, expected in zip(streams[0], found[0], strict=True):
        passed, state = move(transformation, gradient, state)
        np.testing.assert_allclose(passed, expected, rtol=1e-5)


def test_the_first_gradient_passes_as_it_is():
    first = jnp.array([[1e30, -7.0, 1e-12]])
    np.testing.assert_array_equal(clipped(first), first)


@pytest.mark.parametrize("factor", [1.5, 2.0, 5.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_spike_is_cut_to_a_multiple_of_what_was_usual(factor, sign):
    gradients = jnp.ones(30).at[1::2].multiply(-1).at[20].set(sign * 1e6)
    found = clipped(gradients, factor)
    assert found[20] == pytest.approx(sign * factor, rel=1e-5)
    np.testing.assert_array_equal(np.delete(found, 20), np.delete(np.asarray(gradients), 20))


@pytest.mark.parametrize("factor", [1.5, 2.0, 5.0])
def test_a_lasting_change_of_scale_gets_through(factor):
    # While gradients are cut, their mean square grows at least by this from one to the next.
    growth = 0.95 + 0.05 * factor**2
    enough = int(np.ceil(2 * np.log(1e3) / np.log(growth)))
    found = clipped(jnp.ones(20 + 2 * enough).at[20:].set(1e3), factor)
    assert found[20] == pytest.approx(factor, rel=1e-5)
    assert (np.diff(found[20:]) >= 0).all()
    np.testing.assert_array_equal(found[20 + enough :], 1e3)


def test_smaller_gradients_pass_as_they_are():
    gradients = jnp.ones(40).at[20:].set(1e-3)
    np.testing.assert_array_equal(clipped(gradients), gradients)


@pytest.mark.parametrize("first", [0.0, 1e-25])
def test_a_component_that_starts_with_a_gradient_of_zero_is_not_lost(first):
    assert clipped(jnp.full(400, 3.0).at[0].set(first))[-1] == 3.0


@pytest.mark.parametrize(
    ("factor", "decay"), [(0.0, 0.9), (-1.0, 0.9), (float("nan"), 0.9), (2.0, 0.0), (2.0, 1.0), (2.0, 1.5)]
)
def test_impossible_clipping_is_refused(factor, decay):
    with pytest.raises(ValueError, match=f"not {factor} and {decay}"):
        clip_by_running_rms(factor, decay)


def speeds(optimizer, gradients) -> np.ndarray:
    """How far each step goes, in steps of Adam under gradients that do not change."""

    def step(state, gradient):
        update, state = optimizer.update(gradient, state)
        return state, -update

    return np.asarray(jax.lax.scan(step, optimizer.init(gradients[0]), gradients)[1]) / RATE


def test_behind_it_adam_gets_over_a_spike():
    gradients = jnp.ones(400).at[30].set(-1e6)
    plain = speeds(optax.adam(RATE), gradients)
    safe = speeds(optax.chain(clip_by_running_rms(2.0), optax.adam(RATE)), gradients)
    assert plain[:30].min() > 0.99
    assert plain[30:60].sum() < -5, "it goes back"
    assert np.abs(plain[-200:]).max() < 1e-3, "and then it stands still"
    assert safe[30:].min() > 0.6
    assert safe[40:].min() > 0.85
    np.testing.assert_allclose(safe[60:], 1, atol=0.05)


COUNT, FIRST, LAST, ALL = 3, 2, 8, 15


def selected(inner, gradients, start) -> Any:
    """Updates and parameters of every step of an optimiser with hard selection after it."""
    optimizer = optax.chain(inner, hard_threshold(COUNT, FIRST, LAST))

    def step(carry, gradient):
        parameters, state = carry
        updates, state = optimizer.update(gradient, state, parameters)
        after = optax.apply_updates(parameters, updates)
        return (after, state), (updates, parameters, after)

    return jax.lax.scan(step, (start, optimizer.init(start)), gradients)[1]


@pytest.fixture(scope="module")
def run():
    """Gradients, and what became of fifteen parameters under them."""
    keys = jax.random.split(jax.random.key(0))
    gradients = jax.random.normal(keys[0], (12, ALL))
    became = jax.jit(lambda g: selected(optax.adam(0.1), g, jax.random.normal(keys[1], (ALL,))))(gradients)
    return gradients, jax.tree.map(np.asarray, became)


def test_how_many_stay_falls_linearly(run):
    _, (_, _, after) = run
    assert np.count_nonzero(after, axis=1).tolist() == [15, 15, 15, 13, 11, 9, 7, 5, 3, 3, 3, 3]


def test_those_that_stay_get_the_update_of_the_optimiser(run):
    gradients, (updates, before, after) = run
    adam = optax.adam(0.1)
    state = adam.init(before[0])
    for step, gradient in enumerate(gradients):
        inner, state = jax.tree.map(np.asarray, move(adam, gradient, state))
        stays = after[step] != 0
        np.testing.assert_allclose(updates[step][stays], inner[stays], rtol=1e-5)
        stepped = np.abs(before[step] + inner)
        assert stepped[stays].min() > stepped[~stays].max(initial=0.0), "the largest stay"


def test_as_long_as_all_stay_no_bit_is_changed():
    gradients, start = -jnp.ones((1, ALL)), jnp.linspace(-1, 1, ALL)
    updates, _, after = selected(optax.sgd(0.125), gradients, start)
    np.testing.assert_array_equal(updates[0], 0.125)
    np.testing.assert_array_equal(after[0], start + 0.125)


def test_what_was_removed_can_come_back():
    start = jnp.arange(ALL, dtype=jnp.float32)
    gradients = jnp.zeros((12, ALL)).at[10, 0].set(-100.0)
    _, _, after = selected(optax.sgd(1.0), gradients, start)
    assert np.flatnonzero(after[9]).tolist() == [12, 13, 14]
    assert np.flatnonzero(after[10]).tolist() == [0, 13, 14]


def test_the_leaves_of_a_tree_are_selected_from_together():
    tree = {"a": jnp.array([5.0, 0.1]), "b": (jnp.array([[-6.0, 0.2]]), jnp.array([0.3, -4.0]))}
    keep = hard_threshold(3, 0, 1)
    state = keep.init(tree)
    for _ in range(2):
        updates, state = keep.update(jax.tree.map(jnp.zeros_like, tree), state, tree)
        tree = optax.apply_updates(tree, updates)
    expected = {"a": jnp.array([5.0, 0.0]), "b": (jnp.array([[-6.0, 0.0]]), jnp.array([0.0, -4.0]))}
    jax.tree.map(np.testing.assert_array_equal, tree, expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1, 2), "at least one parameter must stay, not 0"),
        ((-1, 1, 2), "at least one parameter must stay, not -1"),
        ((3, 5, 5), "after the first, not 5 after 5"),
        ((3, 5, 4), "after the first, not 4 after 5"),
    ],
)
def test_impossible_selections_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        hard_threshold(*arguments)


def test_selection_needs_the_parameters():
    keep = hard_threshold(1, 0, 1)
    with pytest.raises(ValueError, match="needs the parameters"):
        keep.update(jnp.ones(2), keep.init(jnp.ones(2)))
