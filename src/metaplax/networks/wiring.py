"""How synapses are laid out between two populations: all to all, or patches with shared or separate weights.

Whatever the layout, weights are one matrix. A row is what one post-synaptic neuron (or feature map) multiplies its
inputs with, so plasticity terms see the same thing in all of them: two vectors and a matrix, once per position.
"""

from abc import abstractmethod
from math import prod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Shape = tuple[int, ...]


class AbstractWiring(eqx.Module):
    """The linear map of one connection.

    Attributes:
        bias: whether one more pre-synaptic neuron is always on: its synapses, the last column, are the biases.
    """

    bias: eqx.AbstractVar[bool]

    @property
    @abstractmethod
    def pre(self) -> Shape:
        """Shape of the pre-synaptic population."""

    @property
    @abstractmethod
    def post(self) -> Shape:
        """Shape of the post-synaptic population."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """Shape of the matrix of weights."""

    @property
    @abstractmethod
    def positions(self) -> int | None:
        """How many positions see a patch each; ``None`` where everything is seen at once."""

    @property
    @abstractmethod
    def shares_weights(self) -> bool:
        """Whether all positions have the same weights; false where there are none."""

    @abstractmethod
    def seen(self, y: Float[Array, "*pre"]) -> Float[Array, "*positions inputs"]:
        """What the columns of the weights are multiplied with, for every position; without the neuron always on."""

    @abstractmethod
    def back(self, weight: Float[Array, "rows columns"], error: Float[Array, "*post"]) -> Float[Array, "*pre"]:
        """The transposed map, from the post- to the pre-synaptic population; biases take no part."""

    @abstractmethod
    def __call__(self, weight: Float[Array, "rows columns"], y: Float[Array, "*pre"]) -> Float[Array, "*post"]:
        """The input current of the post-synaptic population."""

    def columns(self, y: Float[Array, "*pre"], on: float) -> Float[Array, "*positions columns"]:
        """``seen``, with ``on`` for the neuron that is always on: 1 in activities, 0 in errors."""
        found = self.seen(y)
        if not self.bias:
            return found
        return jnp.concatenate([found, jnp.full((*found.shape[:-1], 1), on, found.dtype)], axis=-1)

    def rows(self, y: Float[Array, "*post"]) -> Float[Array, "*positions rows"]:
        """A post-synaptic signal, for every position."""
        return y if self.positions is None else y.reshape(self.positions, -1)

    def injected(self, y: Float[Array, "*pre"]) -> Float[Array, "*post"] | None:
        """The part of the input current that comes through no synapse; ``None`` if there is none."""
        del y
        return None

    def synapses(self, weight: Float[Array, "rows columns"]) -> Float[Array, "rows inputs"]:
        """The weights without the biases."""
        return weight[:, :-1] if self.bias else weight


class AbstractDense(AbstractWiring):
    """Synapses onto a plain population of neurons, each with a row of weights of its own."""

    outputs: eqx.AbstractVar[int]

    @property
    def post(self) -> Shape:
        return (self.outputs,)

    @property
    def positions(self) -> None:
        return None

    @property
    def shares_weights(self) -> bool:
        return False


class Full(AbstractDense):
    """Every neuron reaches every neuron: ``z = W y``, or ``z = W [y, 1]`` with biases.

    Args:
        inputs: number of pre-synaptic neurons, or their shape, which is flattened.
        outputs: number of post-synaptic neurons.
        bias: whether there are biases.
    """

    inputs: int | Shape = eqx.field(static=True)
    outputs: int = eqx.field(static=True)
    bias: bool = eqx.field(static=True, default=False)

    @property
    def pre(self) -> Shape:
        return (self.inputs,) if isinstance(self.inputs, int) else self.inputs

    @property
    def shape(self) -> tuple[int, int]:
        return self.outputs, prod(self.pre) + self.bias

    def seen(self, y):
        return y.reshape(-1)

    def back(self, weight, error):
        return (error @ self.synapses(weight)).reshape(self.pre)

    def __call__(self, weight, y):
        return weight @ self.columns(y, 1.0)


class Summed(AbstractDense):
    """Every neuron sees the summed activity of a population, through one synapse: ``z = w sum(y)``, with bias ``+ b``.

    Args:
        inputs: number of pre-synaptic neurons.
        outputs: number of post-synaptic neurons.
        bias: whether there are biases.
    """

    inputs: int = eqx.field(static=True)
    outputs: int = eqx.field(static=True)
    bias: bool = eqx.field(static=True, default=False)

    @property
    def pre(self) -> Shape:
        return (self.inputs,)

    @property
    def shape(self) -> tuple[int, int]:
        return self.outputs, 1 + self.bias

    def seen(self, y):
        return jnp.sum(y, keepdims=True)

    def back(self, weight, error):
        return jnp.broadcast_to(error @ self.synapses(weight), self.pre)

    def __call__(self, weight, y):
        return weight @ self.columns(y, 1.0)


class Perturbed(AbstractDense):
    """Every neuron is reached by the first inputs, and perturbed by one of the further ones: ``z = W y[:k] + y[k:]``.

    Random numbers that a task draws come in this way, so that terms see them as ``signals.perturbation``.

    Args:
        inputs: number of pre-synaptic neurons, ``k``.
        outputs: number of post-synaptic neurons, each of which has one more input.
    """

    inputs: int = eqx.field(static=True)
    outputs: int = eqx.field(static=True)
    bias: bool = eqx.field(static=True, default=False, init=False)

    @property
    def pre(self) -> Shape:
        return (self.inputs + self.outputs,)

    @property
    def shape(self) -> tuple[int, int]:
        return self.outputs, self.inputs

    def seen(self, y):
        return y[: self.inputs]

    def injected(self, y):
        return y[self.inputs :]

    def back(self, weight, error):
        return jnp.concatenate([error @ weight, error])

    def __call__(self, weight, y):
        return weight @ y[: self.inputs] + y[self.inputs :]


class AbstractPatches(AbstractWiring):
    """Every position of the output sees a patch of an image with channels last.

    Args:
        image: height, width and channels of the input.
        channels: number of neurons at every position.
        kernel: side of a patch, in pixels.
        stride: step between two patches in both directions, in pixels.
        bias: whether there are biases.

    Raises:
        ValueError: a patch is larger than the image, or a size is below one.
    """

    image: tuple[int, int, int] = eqx.field(static=True)
    channels: int = eqx.field(static=True)
    kernel: int = eqx.field(static=True, default=3)
    stride: int = eqx.field(static=True, default=1)
    bias: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        if min(self.image[:2]) < self.kernel or min(*self.image, self.channels, self.kernel, self.stride) < 1:
            raise ValueError(
                f"patches of {self.kernel} pixels every {self.stride} do not fit images of shape {self.image}"
            )

    @property
    def pre(self) -> Shape:
        return self.image

    @property
    def post(self) -> Shape:
        return *((side - self.kernel) // self.stride + 1 for side in self.image[:2]), self.channels

    @property
    def positions(self) -> int:
        return prod(self.post[:2])

    def seen(self, y):
        height, width, channels = self.post[0], self.post[1], self.image[2]
        reach = [range(self.kernel)] * 2
        # As slices: the gradient of XLA's own patches is a convolution, which is slow inside of loops on a CPU.
        pieces = [
            y[i : i + self.stride * (height - 1) + 1 : self.stride, j : j + self.stride * (width - 1) + 1 : self.stride]
            for i in reach[0]
            for j in reach[1]
        ]
        return jnp.stack(pieces, axis=2).reshape(self.positions, self.kernel**2 * channels)

    def back(self, weight, error):
        zeros = jnp.zeros(self.pre, error.dtype)
        return jax.linear_transpose(self.seen, zeros)(self.seen_back(self.synapses(weight), self.rows(error)))[0]

    @abstractmethod
    def seen_back(
        self, weight: Float[Array, "rows inputs"], error: Float[Array, "positions channels"]
    ) -> Float[Array, "positions inputs"]:
        """What a post-synaptic signal gives every pixel of every patch."""


class Convolution(AbstractPatches):
    """Patches with shared weights: a row per feature map, of shape ``(channels, kernel^2 * colours)``."""

    @property
    def shape(self) -> tuple[int, int]:
        return self.channels, self.kernel**2 * self.image[2] + self.bias

    @property
    def shares_weights(self) -> bool:
        return True

    def seen_back(self, weight, error):
        return error @ weight

    def __call__(self, weight, y):
        return (self.columns(y, 1.0) @ weight.T).reshape(self.post)


class LocallyConnected(AbstractPatches):
    """Patches with weights of their own: a row per neuron, positions first: ``(positions * channels, ...)``."""

    @property
    def shape(self) -> tuple[int, int]:
        return self.positions * self.channels, self.kernel**2 * self.image[2] + self.bias

    @property
    def shares_weights(self) -> bool:
        return False

    def seen_back(self, weight, error):
        return jnp.einsum("pc,pck->pk", error, weight.reshape(self.positions, self.channels, -1))

    def __call__(self, weight, y):
        blocks = weight.reshape(self.positions, self.channels, -1)
        return jnp.einsum("pck,pk->pc", blocks, self.columns(y, 1.0)).reshape(self.post)
