"""Where independent trials and episodes run: spread over devices, side by side on each of them or one by one."""

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Key, PyTree

from metaplax.learners import IncompatibleError
from metaplax.runs.hosts import process_count

Trial = Callable[[PyTree, PyTree, PyTree, Key[Array, ""]], PyTree]
Layout = Literal["auto", "vmap", "map"]
_trained_in: int | None = None
"""Id of the process that has trained, which one that is forked from it inherits."""


def refuse_forks() -> None:
    """Refuse to train in a process that was forked from one that has trained.

    The threads of JAX are missing in it: it would wait for them for ever.

    Raises:
        RuntimeError: it is such a process.
    """
    if _trained_in not in (None, os.getpid()):
        raise RuntimeError(
            "this process was forked from one in which JAX has run, and would wait for ever: start it by"
            ' multiprocessing.get_context("spawn"), or before anything is trained'
        )


def refuse_disabled_jit() -> None:
    """Refuse to run step by step what has to be compiled.

    Raises:
        IncompatibleError: compilation is disabled.
    """
    if jax.config.jax_disable_jit:  # pyright: ignore[reportAttributeAccessIssue]
        raise IncompatibleError(
            "compilation is disabled, but steps are run as compiled programs: unset JAX_DISABLE_JIT, or leave"
            " jax.disable_jit(), under which single episodes of a learner run"
        )


def use_all_cores() -> None:
    """One XLA device per CPU core, so that independent trials use them all.

    Where JAX has already started, as in a notebook, its devices stay as they are.

    Raises:
        RuntimeError: this process was forked from one that has trained.
        IncompatibleError: compilation is disabled.
    """
    refuse_forks()
    refuse_disabled_jit()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", cores)


def restrict_to_cores(count: int) -> None:
    """Use so many processor cores, with one XLA device for each; to be called before JAX has started.

    Raises:
        ValueError: there are not so many cores, or the operating system does not say which to use.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise ValueError("this operating system does not let a program choose its cores")
    cores = sorted(os.sched_getaffinity(0))
    if not 1 <= count <= len(cores):
        raise ValueError(f"there are {len(cores)} cores, so {count} cannot be used")
    os.sched_setaffinity(0, cores[:count])
    use_all_cores()


class AbstractLayout(ABC):
    """How trials, and the episodes within one, are run. Results do not depend on it beyond rounding."""

    @abstractmethod
    def trials(self, function: Trial) -> Trial:
        """Turn ``f(tasks, step, state, key)`` for one trial into one for a leading axis of states and keys."""

    @abstractmethod
    def episodes(self, function: Callable[[PyTree], PyTree], inputs: PyTree) -> PyTree:
        """``function`` of every key, or of whatever else is stacked along a leading axis, stacked.

        To be called within the function of one trial.
        """

    @abstractmethod
    def at_once(self, trials: int, episodes: int) -> int:
        """How many episodes are computed at the same time, if every trial has so many."""

    @property
    def by_trial(self) -> NamedSharding | None:
        """Where states and keys are kept, with a leading axis of trials; ``None`` if there is one device."""
        return None

    def pad(self, tree: PyTree) -> PyTree:
        """States or keys with as many trials as are run, the last one repeated; done once for many steps."""
        return tree

    def unpad(self, tree: PyTree) -> PyTree:
        """Without what ``pad`` added."""
        return tree

    def hand_out(self, tree: PyTree) -> PyTree:
        """What all trials share, for every device."""
        return tree


class VmapLayout(AbstractLayout):
    """Everything at once on one device, with ``vmap``: for accelerators, which one episode alone leaves idle."""

    def trials(self, function: Trial) -> Trial:
        return jax.vmap(function, in_axes=(None, None, 0, 0))

    def episodes(self, function: Callable[[PyTree], PyTree], inputs: PyTree) -> PyTree:
        return jax.vmap(function)(inputs)

    def at_once(self, trials: int, episodes: int) -> int:
        return trials * episodes


@dataclass(frozen=True)
class MapLayout(AbstractLayout):
    """Every device takes its share: one after the other on a CPU, side by side on an accelerator.

    On a CPU, batching small matrix-vector products makes them slower than one after the other. There is one
    device per core, see ``use_all_cores``. Several devices may share the episodes of a trial. If several processes
    take part, see ``metaplax.runs.join_processes``, the devices are those of all of them.
    """

    count: int
    trial_devices: int
    episode_devices: int
    batched: bool = False

    @property
    def mesh(self) -> Mesh:
        """The devices, by their share of the trials and of the episodes of these."""
        used = np.array(all_devices()[: self.trial_devices * self.episode_devices])
        shape = (self.trial_devices, self.episode_devices)
        return Mesh(used.reshape(shape), ("trial", "episode"), axis_types=(AxisType.Auto,) * 2)

    @property
    def by_trial(self) -> NamedSharding:
        return NamedSharding(self.mesh, PartitionSpec("trial"))

    def each(self, function: Callable, arguments: PyTree) -> PyTree:
        """A function of every entry of a leading axis, on one device."""
        return jax.vmap(function)(arguments) if self.batched else jax.lax.map(function, arguments)

    def trials(self, function: Trial) -> Trial:
        split, whole = PartitionSpec("trial"), PartitionSpec()

        def share(tasks, step, state, keys):
            return self.each(lambda arguments: function(tasks, step, *arguments), (state, keys))

        shared = jax.shard_map(
            share, mesh=self.mesh, in_specs=(whole, whole, split, split), out_specs=split, check_vma=False
        )

        def padded(tasks, step, state, keys):
            if len(jax.tree.leaves(keys)[0]) == self.count + self.surplus:
                return shared(tasks, step, state, keys)
            # Arrays that are no multiple of the devices are copied to all of them: slow where states are large.
            results = shared(tasks, step, *self.pad((state, keys)))
            return jax.tree.map(lambda leaf: leaf[: self.count], results)

        return padded

    def at_once(self, trials: int, episodes: int) -> int:
        in_turn = min(trials, self.trial_devices) * min(episodes, self.episode_devices)
        return trials * episodes if self.batched else in_turn

    def episodes_each(self, episodes: int) -> int:
        """How many episodes one device takes per step, if every trial has so many."""
        return -(-self.count // self.trial_devices) * -(-episodes // self.episode_devices)

    @property
    def surplus(self) -> int:
        """Trials that repeat the last one and are dropped, as the share of every device has the same size."""
        return -self.count % self.trial_devices

    def pad(self, tree: PyTree) -> PyTree:
        return self._placed(jax.tree.map(lambda leaf: _pad(leaf, self.surplus), tree), PartitionSpec("trial"))

    def unpad(self, tree: PyTree) -> PyTree:
        if process_count() > 1:
            gather = jax.jit(_same, out_shardings=NamedSharding(self.mesh, PartitionSpec()))
            tree = jax.tree.map(lambda leaf: leaf.addressable_data(0), gather(tree))
        # Cut on the host: on devices it would be a step that talks to all of them.
        return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)[: self.count]), tree) if self.surplus else tree

    def hand_out(self, tree: PyTree) -> PyTree:
        return self._placed(tree, PartitionSpec())

    def _placed(self, tree: PyTree, split: PartitionSpec) -> PyTree:
        """The same arrays, of which every process knows the whole, on the devices of all processes."""
        if process_count() == 1:
            return tree
        sharding = NamedSharding(self.mesh, split)

        def placed(leaf: Array) -> Array:
            if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                return jax.random.wrap_key_data(placed(jax.random.key_data(leaf)), impl=jax.random.key_impl(leaf))
            known = np.asarray(leaf)
            return jax.make_array_from_callback(known.shape, sharding, lambda index: known[index])

        return jax.tree.map(lambda leaf: placed(jnp.asarray(leaf)), tree)

    def episodes(self, function: Callable[[PyTree], PyTree], inputs: PyTree) -> PyTree:
        if self.episode_devices == 1:
            return self.each(function, inputs)
        count = len(jax.tree.leaves(inputs)[0])
        size = -(-count // self.episode_devices)

        def share(leaf: Array) -> Array:
            padded = _pad(leaf, size * self.episode_devices - count)
            return jax.lax.dynamic_slice_in_dim(padded, jax.lax.axis_index("episode") * size, size)

        results = jax.lax.all_gather(self.each(function, jax.tree.map(share, inputs)), "episode", tiled=True)
        return jax.tree.map(lambda leaf: leaf[:count], results)


def choose_layout(trials: int, episodes: int = 1, layout: Layout = "auto") -> AbstractLayout:
    """The layout that is fastest here.

    That is the one that leaves the fewest episodes to each device; where several do, trials are shared out before
    episodes, as trials need not wait for each other.

    Args:
        trials: independent trials.
        episodes: episodes per trial and step.
        layout: ``"vmap"`` (side by side on each device) or ``"map"`` (in turn) to decide against what was measured:
            ``"map"`` on a CPU, ``"vmap"`` elsewhere.

    Raises:
        ValueError: ``layout`` is none of these.
        IncompatibleError: compilation is disabled.
    """
    refuse_disabled_jit()
    if layout not in ("auto", "vmap", "map"):
        raise ValueError(f"layout is 'auto', 'vmap' or 'map', not {layout!r}")
    global _trained_in
    _trained_in, count = os.getpid(), len(all_devices())
    batched = layout == "vmap" or (layout == "auto" and jax.local_devices()[0].platform != "cpu")
    if batched and count == 1:
        return VmapLayout()
    if process_count() > 1:
        # Every process has to take part, also if it repeats what another one does.
        shapes = [(across, count // across) for across in range(count, 0, -1) if count % across == 0]
    else:
        shapes = [(across, min(episodes, count // across)) for across in range(min(trials, count), 0, -1)]
    layouts = [MapLayout(trials, *shape, batched) for shape in shapes]
    return min(layouts, key=lambda found: found.episodes_each(episodes))


def all_devices() -> list[Any]:
    """Those of this process, or of all processes of the run."""
    return jax.devices() if process_count() > 1 else jax.local_devices()


def _pad(leaf: Array, surplus: int) -> Array:
    return jnp.concatenate([leaf, jnp.repeat(leaf[-1:], surplus, axis=0)]) if surplus else leaf


def _same(tree: PyTree) -> PyTree:
    return tree
