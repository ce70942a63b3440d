"""From a sequential Equinox module to a network whose synapses can see what they need, and back."""

from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any, NamedTuple, TypeGuard, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metaplax.learners.base import IncompatibleError
from metaplax.networks import (
    MLP,
    AbstractActivation,
    AbstractPlasticNetwork,
    AbstractWiring,
    Convolution,
    Full,
    Instant,
    Layer,
    ReLU,
    Sequential,
    Softplus,
    Tanh,
    Weights,
)

ACTIVATIONS: tuple[tuple[Callable, AbstractActivation], ...] = (
    (jax.nn.relu, ReLU()),
    (jax.nn.softplus, Softplus(1.0)),
    (jnp.tanh, Tanh()),
    (jax.nn.tanh, Tanh()),
)
"""What JAX calls them, and what they are called here."""

PROBE = (-1e6, -2.0, -0.5, 0.0, 0.5, 2.0, 1e6)
"""Where a function that changes nothing must leave numbers as they are."""

Affine = eqx.nn.Linear | eqx.nn.Conv2d
Module = TypeVar("Module", bound=eqx.Module)


def from_equinox(module: eqx.Module, image: tuple[int, ...] | None = None) -> tuple[AbstractPlasticNetwork, Weights]:
    """The same network, with its weights.

    Equinox has the channels of an image first, the network has them last: it takes ``jnp.moveaxis(x, 0, -1)``. A
    module without convolutions takes vectors, also if it begins with a flattening.

    Args:
        module: an ``eqx.nn.MLP``, or an ``eqx.nn.Sequential`` of ``Linear``, ``Conv2d`` (square kernels and strides;
            no padding, dilation or groups) and ``Lambda`` of a flattening such as ``jnp.ravel``, the identity,
            ``jax.nn.relu``, ``jax.nn.softplus``, ``jnp.tanh`` or an activation of ``metaplax.networks``. Its outputs
            are a vector of logits.
        image: height and width of an input, if the module begins with a convolution.

    Returns:
        a network with a softmax readout, and one matrix per layer, whose last column is its biases, if it has any. The
        network of an ``eqx.nn.MLP`` is an ``MLP`` if its layers have biases all or none; others are ``Sequential``.

    Raises:
        IncompatibleError: the module has something else; one sentence says which layer.
    """
    steps = tuple(_steps(module))
    layers = _layers(steps, image)
    weights = _matrices([step.does for step in steps if _is_affine(step.does)])
    if type(module) is eqx.nn.MLP and len({layer.wiring.bias for layer in layers}) == 1:
        activation = _ours(module.activation)
        if activation is not None:
            sizes = (*layers[0].wiring.pre, *(layer.wiring.post[0] for layer in layers))
            return MLP(sizes, activation, bias=layers[0].wiring.bias), weights
    return Sequential(*layers), weights


def into_equinox(weights: Weights, module: Module) -> Module:
    """The Equinox module with these weights in place of its own.

    Args:
        weights: one matrix per layer, of the shapes that ``from_equinox`` gives.
        module: a module with matrices of those shapes.

    Raises:
        IncompatibleError: the shapes are others, or the module has layers that ``from_equinox`` does not take.
    """
    affine = _affine(module)
    shapes = [[weight.shape for weight in each] for each in (weights, _matrices(affine))]
    if shapes[0] != shapes[1]:
        kind = "an MLP" if type(module) is eqx.nn.MLP else "a module"
        raise IncompatibleError(f"weights of shapes {shapes[0]} do not fit {kind} with those of shapes {shapes[1]}")
    leaves = lambda layers: [leaf for it in layers for leaf in (it.weight, it.bias) if leaf is not None]  # noqa: E731
    layers = map(_with_matrix, affine, weights, [None, *affine[:-1]])
    return eqx.tree_at(lambda tree: leaves(_affine(tree)), module, leaves(layers))


class _Step(NamedTuple):
    """One thing that a module does: a linear map, or a function of the whole array or of every number in it."""

    name: str
    does: Any
    is_of_numbers: bool = False


def _steps(module: Any, name: str = "") -> Iterator[_Step]:
    """Everything that a module does, in order.

    Raises:
        IncompatibleError: something else is done.
    """
    kind = type(module)
    if kind is eqx.nn.Sequential:
        for number, layer in enumerate(module.layers, start=1):
            yield from _steps(layer, f"{name}.{number}" if name else f"layer {number}")
    elif kind is eqx.nn.MLP:
        if module.scan:
            raise IncompatibleError("an MLP made with scan=True is not supported: its hidden layers are a single array")
        activations = [module.activation] * (len(module.layers) - 1) + [module.final_activation]
        for number, (layer, function) in enumerate(zip(module.layers, activations, strict=True), start=1):
            where = f"{name}.{number}" if name else f"layer {number}"
            yield _Step(where, layer)
            yield _Step(where, function, is_of_numbers=True)
    elif kind in (eqx.nn.Linear, eqx.nn.Conv2d):
        yield _Step(name or "the module", module)
    elif kind is eqx.nn.Lambda:
        yield _Step(name or "the module", module.fn)
    elif kind is not eqx.nn.Identity:
        raise IncompatibleError(
            f"{name or 'the module'}: {kind.__name__} is not supported, only eqx.nn.MLP, and eqx.nn.Sequential of"
            " Linear, Conv2d and Lambda"
        )


def _layers(steps: Sequence[_Step], image: tuple[int, ...] | None) -> list[Layer]:
    numbers = [number for number, step in enumerate(steps) if _is_affine(step.does)]
    if not numbers:
        raise IncompatibleError("a network needs at least one layer, but the module has neither Linear nor Conv2d")
    shape, layers = _input(*steps[numbers[0]][:2], image), []
    for number, step in enumerate(steps):
        name = step.name
        if _is_affine(step.does):
            layers.append(Layer(_wiring(name, step.does, shape, layers), Instant()))
            # As Equinox has it: channels first.
            shape = (layers[-1].wiring.post[-1], *layers[-1].wiring.post[:-1])
        elif (reshaped := _reshaped(step, shape)) is not None:
            shape = reshaped
        elif number > numbers[-1]:
            raise IncompatibleError(f"{name}: the outputs must be logits: make the module without a final activation")
        elif not layers or layers[-1].neurons.activation is not None:
            raise IncompatibleError(f"{name}: a nonlinearity must follow Linear or Conv2d, not another nonlinearity")
        else:
            neurons = Instant(_activation(name, step.does))
            layers[-1] = eqx.tree_at(lambda layer: layer.neurons, layers[-1], neurons)
    if len(layers[-1].wiring.post) > 1:
        raise IncompatibleError(f"{steps[numbers[-1]].name}: the outputs must be a vector, so end with a Linear")
    return layers


def _input(name: str, first: Affine, image: tuple[int, ...] | None) -> tuple[int, ...]:
    """Shape of an input as Equinox has it."""
    if isinstance(first, eqx.nn.Linear):
        if image is not None:
            raise IncompatibleError(f"{name}: Linear takes vectors, so leave out image={image}")
        return _sizes(name, first)[:1]
    if image is None or len(image) != 2:
        raise IncompatibleError(f"{name}: Conv2d needs the size of images: from_equinox(module, image=(height, width))")
    return first.in_channels, *image


def _sizes(name: str, layer: eqx.nn.Linear) -> tuple[int, int]:
    inputs, outputs = layer.in_features, layer.out_features
    if isinstance(inputs, str) or isinstance(outputs, str):
        raise IncompatibleError(f'{name}: "scalar" inputs and outputs are not supported: use vectors')
    return inputs, outputs


def _wiring(name: str, step: Affine, shape: tuple, layers: Sequence[Layer]) -> AbstractWiring:
    """The wiring of one linear map of an input of this shape, as Equinox has it."""
    if isinstance(step, eqx.nn.Linear):
        inputs, outputs = _sizes(name, step)
        if shape != (inputs,):
            raise IncompatibleError(
                f"{name}: Linear takes vectors of {inputs} numbers, not shape {shape}; a Lambda(jnp.ravel) flattens"
                " images"
            )
        is_image = bool(layers) and len(layers[-1].wiring.post) > 1
        seen = layers[-1].wiring.post if is_image else inputs
        return Full(inputs=seen, outputs=outputs, bias=step.use_bias)
    no_padding = step.padding == "VALID" or not any(sum(map(tuple, step.padding), ()))
    if not (no_padding and len({*step.kernel_size}) == len({*step.stride}) == 1):
        raise IncompatibleError(f"{name}: Conv2d is supported with square kernels and strides and without padding only")
    if (*step.dilation, step.groups) != (1, 1, 1):
        raise IncompatibleError(f"{name}: Conv2d with dilation or groups is not supported")
    side = step.kernel_size[0]
    if len(shape) != 3 or shape[0] != step.in_channels or min(shape[1:]) < side:
        raise IncompatibleError(
            f"{name}: Conv2d takes images of {step.in_channels} channels and at least {side} by {side} pixels, not"
            f" shape {shape}"
        )
    return Convolution(
        image=(*shape[1:], shape[0]),  # pyright: ignore
        channels=step.out_channels,
        kernel=side,
        stride=step.stride[0],
        bias=step.use_bias,
    )


def _is_affine(step: Any) -> TypeGuard[Affine]:
    return isinstance(step, eqx.nn.Linear | eqx.nn.Conv2d)


def _affine(module: eqx.Module) -> list[Affine]:
    return [step.does for step in _steps(module) if _is_affine(step.does)]


def _matrices(affine: Sequence[Affine]) -> Weights:
    return tuple(map(_matrix, affine, [None, *affine[:-1]]))


def _matrix(layer: Affine, before: Affine | None) -> Float[Array, "post pre"]:
    """The weights of a layer as the network has them; ``before`` is the layer that it gets its input from."""
    rows = layer.weight.shape[0]
    if isinstance(layer, eqx.nn.Conv2d):
        matrix = jnp.moveaxis(layer.weight, 1, -1).reshape(rows, -1)
    elif isinstance(before, eqx.nn.Conv2d):
        matrix = layer.weight.reshape(rows, before.out_channels, -1).swapaxes(1, 2).reshape(rows, -1)
    else:
        matrix = layer.weight
    return matrix if layer.bias is None else jnp.concatenate([matrix, layer.bias.reshape(rows, 1)], axis=1)


def _with_matrix(layer: Affine, matrix: Float[Array, "post pre"], before: Affine | None) -> Affine:
    """A layer with other weights: the inverse of ``_matrix``."""
    rows = matrix.shape[0]
    bias = None if layer.bias is None else matrix[:, -1].reshape(layer.bias.shape)
    matrix = matrix if layer.bias is None else matrix[:, :-1]
    if isinstance(layer, eqx.nn.Conv2d):
        matrix = jnp.moveaxis(matrix.reshape(rows, *layer.kernel_size, -1), -1, 1)
    elif isinstance(before, eqx.nn.Conv2d):
        matrix = matrix.reshape(rows, -1, before.out_channels).swapaxes(1, 2).reshape(rows, -1)
    return eqx.tree_at(lambda it: (it.weight, it.bias), layer, (matrix, bias), is_leaf=lambda leaf: leaf is None)


def _reshaped(step: _Step, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape that a function gives arrays of this shape; ``None`` if it does more than to flatten them."""
    if _is_learned(step.does) or _ours(step.does) is not None:
        return None
    function = jax.vmap(step.does) if step.is_of_numbers else step.does
    with jax.ensure_compile_time_eval():  # inside of a compiled function as well
        numbers = (jnp.add.outer(jnp.asarray(PROBE), jnp.arange(prod(shape)))).reshape(-1, *shape)
        found = jax.vmap(function)(numbers)
        is_flat = found.shape[1:] in (shape, (prod(shape),))
        return found.shape[1:] if is_flat and jnp.array_equal(found.ravel(), numbers.ravel()) else None


def _is_learned(function: Callable) -> bool:
    return any(map(eqx.is_array, jax.tree.leaves(function)))


def _ours(function: Callable) -> AbstractActivation | None:
    """The activation that a function is, if it is one of ours or of those that have another name here."""
    if isinstance(function, AbstractActivation):
        return None if _is_learned(function) else function
    return next((ours for theirs, ours in ACTIVATIONS if function is theirs), None)


def _activation(name: str, function: Callable) -> AbstractActivation:
    if (activation := _ours(function)) is None:
        raise IncompatibleError(
            f"{name}: the activation {getattr(function, '__name__', function)} is not supported: use jax.nn.relu,"
            " jax.nn.softplus, jnp.tanh or one of metaplax.networks"
        )
    return activation
