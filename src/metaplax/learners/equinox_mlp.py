"""From an Equinox MLP to a network whose synapses can see what they need, and back."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp

from metaplax.learners.base import IncompatibleError
from metaplax.networks import MLP, AbstractActivation, ReLU, Softplus, Tanh, Weights

ACTIVATIONS: tuple[tuple[Callable, AbstractActivation], ...] = (
    (jax.nn.relu, ReLU()),
    (jax.nn.softplus, Softplus(1.0)),
    (jnp.tanh, Tanh()),
)
"""What JAX calls them, and what they are called here."""

PROBE = (-1e6, -2.0, -0.5, 0.0, 0.5, 2.0, 1e6)
"""Where a final activation must leave numbers as they are."""


def from_equinox(mlp: eqx.nn.MLP) -> tuple[MLP, Weights]:
    """The same network, with its weights.

    Args:
        mlp: an MLP without biases, whose activation is ``jax.nn.relu``, ``jax.nn.softplus``, ``jnp.tanh`` or one of
            ``metaplax.networks``, and whose outputs are logits.

    Returns:
        a network with a softmax readout, and ``L`` matrices of shape ``(sizes[l], sizes[l - 1])``.

    Raises:
        IncompatibleError: the MLP has biases, another activation or final activation, scalar inputs or outputs, or
            is made with ``scan=True``; one sentence says which.
    """
    if "scalar" in (mlp.in_size, mlp.out_size):
        raise IncompatibleError('in_size="scalar" and out_size="scalar" are not supported: use vectors')
    if mlp.scan:
        raise IncompatibleError("an MLP made with scan=True is not supported: its hidden layers are a single array")
    if any(layer.bias is not None for layer in mlp.layers):
        raise IncompatibleError("plasticity changes no biases: make the MLP with use_bias=False, use_final_bias=False")
    if not _changes_nothing(mlp.final_activation):
        raise IncompatibleError("the outputs must be logits: make the MLP without a final activation")
    weights = tuple(layer.weight for layer in mlp.layers)
    sizes = (weights[0].shape[1], *(weight.shape[0] for weight in weights))
    return MLP(sizes, _activation(mlp.activation)), weights


def into_equinox(weights: Weights, mlp: eqx.nn.MLP) -> eqx.nn.MLP:
    """The Equinox MLP with these weights in place of its own.

    Args:
        weights: one matrix per layer, of the shapes that ``from_equinox`` gives.
        mlp: an MLP with matrices of those shapes.

    Raises:
        IncompatibleError: the shapes are others.
    """
    old = tuple(layer.weight for layer in mlp.layers)
    shapes = [[weight.shape for weight in each] for each in (weights, old)]
    if shapes[0] != shapes[1]:
        raise IncompatibleError(f"weights of shapes {shapes[0]} do not fit an MLP with those of shapes {shapes[1]}")
    return eqx.tree_at(lambda tree: tuple(layer.weight for layer in tree.layers), mlp, weights)


def _changes_nothing(function: Callable) -> bool:
    if _is_learned(function):
        return False
    with jax.ensure_compile_time_eval():  # inside of a compiled function as well
        numbers = jnp.asarray(PROBE)
        return bool(jnp.array_equal(jax.vmap(function)(numbers), numbers))


def _is_learned(function: Callable) -> bool:
    return any(map(eqx.is_array, jax.tree.leaves(function)))


def _activation(function: Callable) -> AbstractActivation:
    if isinstance(function, AbstractActivation) and not _is_learned(function):
        return function
    for theirs, ours in ACTIVATIONS:
        if function is theirs:
            return ours
    raise IncompatibleError(
        f"the activation {getattr(function, '__name__', function)} is not supported: use jax.nn.relu, jax.nn.softplus,"
        " jnp.tanh or one of metaplax.networks"
    )
