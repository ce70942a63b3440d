"""Evolution strategies on windows of an inner loop, without the bias of truncation."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from metaplax.estimators.base import RESULTS, MetaGradient, Sample, parametrised
from metaplax.estimators.perturbed import AbstractPerturbed, finite, summary
from metaplax.estimators.unrolled import count_steps
from metaplax.learners import AbstractLearner, IncompatibleError, plain_loop
from metaplax.tasks import Episode


class Particles(eqx.Module):
    """What is carried from window to window.

    Attributes:
        key: data of the key of the inner loop that is under way.
        window: the window to run next; 0 if a new inner loop begins.
        inner: inner states of both sides of all pairs.
        noise: perturbations of every leaf, added up over the windows of this inner loop.
        losses: outer losses after the last window.
        alive: pairs of which neither side has exploded in this inner loop.
    """

    key: Array
    window: Int[Array, ""]
    inner: PyTree
    noise: list[Array]
    losses: Float[Array, "pairs 2"]
    alive: Bool[Array, " pairs"]


class PersistentES(AbstractPerturbed):
    """Evolution strategies on windows of so many inner steps; every meta-step runs one window.

    Every window has perturbations of its own, and inner states are carried from window to window. What is multiplied by
    the outer losses is the sum of the perturbations of this and all earlier windows of the inner loop, so that the mean
    over the meta-steps of one inner loop is unbiased as ``EvolutionStrategies`` is, while a truncated gradient leaves
    out what came before its window. It is so as far as the meta-parameters stay the same in the course of an inner
    loop. The same episode is used until its inner loop ends; then a new one is drawn.

    The outer loss of an inner loop that has not ended is that of its state after the window, on the query set of the
    episode. That is the loss which is recorded. Differentiated is, by default, the outer loss after the last window,
    written as the sum of what every window changes in it; with ``every_window`` it is the mean over windows of the
    outer loss after each. With ``K`` windows the estimate of a meta-step is ``K`` times the share of its window.

    Time ``O(pairs window P)`` per meta-step, two forward passes of one window per pair, and what a learner computes of
    all examples at once (``precompute``) for every window anew; memory ``O(pairs P)`` whatever ``T``. Its variance
    grows with ``K``: use it where an inner loop is too long to wait for its end, or
    where gradients explode in it. Needs an inner loop of so many steps. ``value_and_grad`` runs all windows of an inner
    loop with the meta-parameters that are given.

    Args:
        window: inner steps per meta-step; the last window of an inner loop may be shorter.
        every_window: whether the outer loss after every window counts, and not only that after the last one.
        reuse_noise: keep the perturbations of the first window until the inner loop ends: the variance does not grow
            with the number of windows then (noise-reuse ES).
        pairs: see ``AbstractPerturbed``, as for ``sd``, ``ranks`` and ``fresh_keys``.

    Raises:
        ValueError: ``window`` is below one, or as for ``AbstractPerturbed``.

    Source: Vicol, Metz & Sohl-Dickstein (2021); Li et al. (2023) for ``reuse_noise``.
    """

    window: int
    every_window: bool = False
    reuse_noise: bool = False

    def __check_init__(self):
        if self.window < 1:
            raise ValueError(f"a window has 1, 2, ... inner steps, not {self.window}")

    def check(self, learner: AbstractLearner, episode: Episode | None = None) -> None:
        super().check(learner, episode)
        if episode is not None:
            self._inner(learner, episode)

    def start(self, learner: AbstractLearner, episode: Episode) -> Particles:
        inner, _ = self._inner(learner, episode)
        both = lambda leaf: jnp.zeros((self.pairs, 2, *leaf.shape), leaf.dtype)  # noqa: E731
        leaves = jax.tree.leaves(parametrised(learner)[0])
        noise = [jnp.zeros((self.pairs, *leaf.shape), leaf.dtype) for leaf in leaves]
        loss = jax.eval_shape(lambda: learner.run(_zeros(episode), jax.random.key(0))[0])
        key = jax.random.key_data(jax.random.key(0))
        alive = jnp.ones(self.pairs, bool)
        return Particles(key, jnp.int32(0), jax.tree.map(both, inner), noise, both(loss), alive)

    def step(
        self, learner: AbstractLearner, sample: Sample, key: Key[Array, ""], carried: Particles
    ) -> tuple[MetaGradient, Particles]:
        given = jax.random.key_data(key)
        if given.shape != carried.key.shape:
            raise ValueError(f"PersistentES takes keys of JAX's default kind, not {jax.random.key_impl(key)}")
        data = jnp.where(carried.window == 0, given, carried.key)
        task_key, learner_key = jax.random.split(jax.random.wrap_key_data(data, impl=jax.random.key_impl(key)))
        carried = eqx.tree_at(lambda it: it.key, carried, data)
        return self._advance(learner, sample(task_key), learner_key, self.noise_key(key), carried)

    def value_and_grad(self, learner: AbstractLearner, episode: Episode, key: Key[Array, ""]) -> MetaGradient:
        windows = self._windows(self._inner(learner, episode)[1])

        def one(carried: Particles, noise_key: Key[Array, ""]) -> tuple[Particles, MetaGradient]:
            found, carried = self._advance(learner, episode, key, noise_key, carried)
            return carried, found

        keys = jax.random.split(self.noise_key(key), windows)
        found = jax.lax.scan(one, self.start(learner, episode), keys)[1]
        gradient = jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), found.gradient)
        fine = jnp.all(found.result == RESULTS.successful)
        result = RESULTS.where(fine, RESULTS.successful, RESULTS.all_exploded)
        return MetaGradient(found.loss[-1], jax.tree.map(lambda leaf: leaf[-1], found.metrics), gradient, result)

    def _advance(
        self,
        learner: AbstractLearner,
        episode: Episode,
        key: Key[Array, ""],
        noise_key: Key[Array, ""],
        carried: Particles,
    ) -> tuple[MetaGradient, Particles]:
        """One window of all particles, and the estimate of the meta-gradient that it gives."""
        is_new = carried.window == 0
        drawn, structure = jax.tree.flatten(self.noise(noise_key, parametrised(learner)[0]))
        later = lambda new, old: jnp.where(is_new, new, old if self.reuse_noise else old + new)  # noqa: E731
        summed = jax.tree.map(later, drawn, carried.noise)
        noise = jax.tree.unflatten(structure, summed)
        steps = 0

        def run(learner: AbstractLearner, key: Key[Array, ""], inner: PyTree) -> PyTree:
            nonlocal steps
            value, after, steps = self._run(learner, episode, key, carried.window, inner)
            return value, after

        applied = noise if self.reuse_noise else jax.tree.unflatten(structure, drawn)
        (losses, metrics), inner = self.in_pairs(learner, applied, run, self.keys(key), carried.inner)
        windows = self._windows(steps)
        alive = (is_new | carried.alive) & finite(losses)
        before = jnp.zeros_like(losses) if self.every_window else jnp.where(is_new, 0, carried.losses)
        gradient = self.gradient(learner, noise, losses - before, alive)
        share = 1 if self.every_window else windows
        gradient = jax.tree.map(lambda leaf: share * leaf, gradient)
        ended = (carried.window + 1 == windows) | ~jnp.any(alive)
        window = jnp.where(ended, 0, carried.window + 1)
        return summary(losses, metrics, gradient, alive), Particles(carried.key, window, inner, summed, losses, alive)

    def _run(
        self, learner: AbstractLearner, episode: Episode, key: Key[Array, ""], window: Int[Array, ""], inner: PyTree
    ) -> tuple[PyTree, PyTree, int]:
        """One window of one particle: loss and metrics after it, the inner state, and the steps of an inner loop."""
        reached = []

        def loop(step: Any, state: PyTree, inputs: PyTree) -> PyTree:
            kept = jax.tree.map(_restored, state, inner)
            begun = jax.tree.map(lambda fresh, old: jnp.where(window == 0, fresh, old), state, kept)
            after = self._some_steps(step, begun, inputs, window * self.window)
            reached.append((jax.tree.map(_stored, after), count_steps(inputs)))
            return after

        value = learner.run(episode, key, loop)
        ((after, steps),) = reached
        return value, after, steps

    def _some_steps(self, step: Any, state: PyTree, inputs: PyTree, first: Int[Array, ""]) -> PyTree:
        """The inner steps of one window."""
        steps, length = count_steps(inputs), min(self.window, count_steps(inputs))
        if steps % length == 0:
            cut = lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, first, length)  # noqa: E731
            return plain_loop(step, state, jax.tree.map(cut, inputs))

        def once(at: Int[Array, ""], state: PyTree) -> PyTree:
            return step(state, jax.tree.map(lambda leaf: leaf[at], inputs))

        return jax.lax.fori_loop(first, jnp.minimum(first + length, steps), once, state)

    def _windows(self, steps: int) -> int:
        return -(-steps // self.window)

    def _inner(self, learner: AbstractLearner, episode: Episode) -> tuple[PyTree, int]:
        """Shapes and dtypes of the inner state, and how many steps the inner loop has.

        Raises:
            IncompatibleError: the inner loop is no loop of so many steps, or it is run within another one.
        """
        counts: list[int] = []
        inner: PyTree = None

        def run(episode: Episode) -> PyTree:
            reached = []

            def loop(step: Any, state: PyTree, inputs: PyTree) -> PyTree:
                reached.append(jax.tree.map(_stored, state))
                counts.append(count_steps(inputs))
                return plain_loop(step, state, inputs)

            return learner.run(episode, jax.random.key(0), loop), reached

        try:
            inner = jax.eval_shape(run, episode)[1]
        except jax.errors.UnexpectedTracerError:
            counts.clear()
        if len(counts) != 1:
            raise IncompatibleError(
                f"PersistentES cuts an inner loop into windows, and that of {type(learner).__name__} is not one loop of"
                " so many steps: use EvolutionStrategies, or give it a number of steps"
            )
        return inner[0], counts[0]


def _is_key(leaf: Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _stored(leaf: Array) -> Array:
    """What checkpoints can hold: of a key, its data."""
    return jax.random.key_data(leaf) if _is_key(leaf) else jnp.asarray(leaf)


def _restored(fresh: Array, stored: Array) -> Array:
    return jax.random.wrap_key_data(stored, impl=jax.random.key_impl(fresh)) if _is_key(fresh) else stored


def _zeros(episode: Episode) -> Episode:
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), episode)
