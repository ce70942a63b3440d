"""The layers of a ``torch.nn.Sequential`` as the synapses of a plasticity rule see them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from metaplax.plasticity.torch_programs import Tensor, pytorch

SLOPES: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "ReLU": lambda it, y: (y > 0).to(y.dtype),
    "Tanh": lambda it, y: 1 - y * y,
    "Softplus": lambda it, y: -pytorch().expm1(-it.beta * y),
    "Sigmoid": lambda it, y: y * (1 - y),
}
"""Derivatives of activations, by the names of their modules, as functions of the activity."""


@dataclass
class Layer:
    """A ``Linear`` or ``Conv2d`` of a model, and what its output goes through.

    Attributes:
        affine: the module.
        after: number of channels of the convolution whose flattened output it takes; 0 for none.
        activation: the module of its nonlinearity; ``None`` for none.
    """

    affine: Any
    after: int = 0
    activation: Any = None

    @property
    def is_image(self) -> bool:
        """Whether it is a convolution."""
        return self.affine.weight.ndim == 4

    def slope(self, y: Tensor) -> Tensor:
        """Derivative of the nonlinearity where the activity is ``y``."""
        if self.activation is None:
            return pytorch().ones_like(y)
        return SLOPES[type(self.activation).__name__](self.activation, y)

    def matrix(self) -> Tensor:
        """The weights as one matrix as metaplax has it: a row per neuron or feature map, biases in the last column."""
        weight, bias = self.affine.weight, self.affine.bias
        matrix = self._last(weight).flatten(1)
        return matrix if bias is None else pytorch().cat([matrix, bias[:, None]], dim=1)

    def load(self, matrix: Tensor) -> None:
        """Put the numbers of such a matrix into the module."""
        weight, bias = self.affine.weight, self.affine.bias
        if bias is not None:
            bias.copy_(matrix[:, -1])
            matrix = matrix[:, :-1]
        if self.is_image:
            rows, channels, *kernel = weight.shape
            weight.copy_(matrix.reshape(rows, *kernel, channels).movedim(-1, 1))
        elif self.after:
            weight.copy_(matrix.reshape(len(matrix), -1, self.after).movedim(-1, 1).reshape(weight.shape))
        else:
            weight.copy_(matrix)

    def columns(self, y: Tensor, on: float) -> Tensor:
        """What the columns of the matrix are multiplied with, with ``on`` for biases; ``(batch, positions, columns)``
        for a convolution, else ``(batch, columns)``."""
        torch = pytorch()
        if self.is_image:
            it = self.affine
            seen = torch.nn.functional.unfold(y, it.kernel_size, it.dilation, it.padding, it.stride)
            seen = seen.reshape(len(y), y.shape[1], -1, seen.shape[-1]).permute(0, 3, 2, 1).flatten(2)
        else:
            seen = self._last(y.flatten(1)).flatten(1)
        if self.affine.bias is None:
            return seen
        return torch.cat([seen, torch.full_like(seen[..., :1], on)], dim=-1)

    def rows(self, y: Tensor) -> Tensor:
        """A signal of its neurons, for every position if it is a convolution."""
        return y.flatten(2).movedim(1, 2) if self.is_image else y

    def back(self, weight: Tensor, error: Tensor, shape: tuple[int, ...]) -> Tensor:
        """An error of its neurons through the transpose of a weight, in the shape of the input of this layer."""
        if not self.is_image:
            return (error @ weight).reshape(shape)
        it = self.affine
        return pytorch().nn.grad.conv2d_input(shape, weight, error, it.stride, it.padding, it.dilation)

    def _last(self, of_inputs: Tensor) -> Tensor:
        """What has inputs as its second axis, with the channels of an image as the last one."""
        if self.is_image:
            return of_inputs.movedim(1, -1)
        return of_inputs.reshape(len(of_inputs), self.after, -1).movedim(1, -1) if self.after else of_inputs


def layers_of(model: Any) -> list[Layer]:
    """The layers of a model.

    Raises:
        ValueError: the model has something else in it; one sentence says what.
    """
    nn, layers = pytorch().nn, []
    if type(model) is not nn.Sequential:
        raise ValueError(f"a rule changes the weights of a torch.nn.Sequential, not of a {type(model).__name__}")
    for name, module in _modules(model):
        kind = type(module).__name__
        if type(module) in (nn.Linear, nn.Conv2d):
            layers.append(_layer(name, module, layers[-1] if layers else None))
        elif type(module) is getattr(nn, kind, None) and kind in SLOPES:
            if not layers or layers[-1].activation is not None:
                raise ValueError(f"layer {name}: {kind} must follow a Linear or Conv2d")
            layers[-1].activation = module
        elif type(module) is not nn.Identity and not (type(module) is nn.Flatten and module.start_dim == 1):
            known = ", ".join(("Linear", "Conv2d", *SLOPES, "Flatten", "Identity"))
            raise ValueError(f"layer {name}: {kind} is not supported, only {known}")
    if not layers or layers[-1].is_image or layers[-1].activation is not None:
        raise ValueError("a model must end with a Linear without an activation: its outputs are logits or numbers")
    return layers


def _layer(name: str, module: Any, before: Layer | None) -> Layer:
    """One layer, given the one before it."""
    layer = Layer(module)
    if not layer.is_image:
        layer.after = before.affine.out_channels if before is not None and before.is_image else 0
    elif before is not None and not before.is_image:
        raise ValueError(f"layer {name}: a Conv2d cannot follow a Linear")
    elif module.groups != 1 or module.padding_mode != "zeros" or isinstance(module.padding, str):
        raise ValueError(f"layer {name}: Conv2d is supported without groups and with numbers of zeros as padding only")
    return layer


def _modules(model: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The modules of a Sequential by name, those of one in it included."""
    for name, module in model.named_children():
        if type(module) is type(model):
            yield from _modules(module, f"{prefix}{name}.")
        else:
            yield prefix + name, module
