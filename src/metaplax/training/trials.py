"""Where independent trials run: side by side on an accelerator, spread over the cores of a CPU."""

import contextlib
import os
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, PartitionSpec
from jaxtyping import PyTree

Trial = Callable[..., PyTree]


def use_all_cores() -> None:
    """One XLA device per CPU core, so that independent trials use them all.

    Where JAX has already started, as in a notebook, its devices stay as they are.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", cores)


def map_trials(function: Trial, trials: int) -> Trial:
    """Turn ``f(tasks, step, state, key)`` for one trial into one for a leading axis of trials.

    On an accelerator this is ``vmap``. On a CPU, where batching small matrix-vector products makes them
    slower than one after the other, every device (there is one per core, see
    :func:`use_all_cores`) takes its share of the trials in turn. Results do not depend on the
    choice beyond rounding.
    """
    devices = jax.local_devices()
    if devices[0].platform != "cpu":
        return jax.vmap(function, in_axes=(None, None, 0, 0))
    used = devices[: min(trials, len(devices))]
    mesh = Mesh(used, ("trial",), axis_types=(AxisType.Auto,))
    split, whole = PartitionSpec("trial"), PartitionSpec()

    def share(tasks, step, state, keys):
        return jax.lax.map(lambda arguments: function(tasks, step, *arguments), (state, keys))

    spread = jax.shard_map(share, mesh=mesh, in_specs=(whole, whole, split, split), out_specs=split, check_vma=False)
    surplus = -trials % len(used)

    def padded(tasks, step, state, keys):
        # The share of every device has the same size; surplus trials repeat the last one and are dropped.
        more = jax.tree.map(lambda leaf: _pad(leaf, surplus), (state, keys))
        return jax.tree.map(lambda leaf: leaf[:trials], spread(tasks, step, *more))

    return padded if surplus else spread


def _pad(leaf: jax.Array, surplus: int) -> jax.Array:
    return jnp.concatenate([leaf, jnp.repeat(leaf[-1:], surplus, axis=0)])
