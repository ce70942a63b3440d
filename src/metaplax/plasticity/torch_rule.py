"""A plasticity rule in PyTorch: it changes the weights of a ``torch.nn.Sequential``, online or in minibatches."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PyTree

from metaplax.plasticity.applied import Positions
from metaplax.plasticity.signals import Signals
from metaplax.plasticity.torch_layers import layers_of
from metaplax.plasticity.torch_programs import Tensor, in_torch, pytorch
from metaplax.plasticity.totals import total
from metaplax.plasticity.updates import apply

PATHWAYS = ("symmetric", "random", "direct")


class TorchRule:
    """A plasticity rule that changes the weights of a PyTorch model; made by ``Rule.to_torch``.

    Attributes:
        layers: the layers of the model that it changes.
        feedback_weights: with ``"random"`` one tensor for each layer, of the shape of its weight; with ``"direct"`` one
            of shape ``(outputs, neurons)`` for the input and for every hidden layer, from the first step on. They do
            not change.
        memory: what terms with memory remember, for each layer, from the first step on.
    """

    def __init__(self, rule: Any, model: Any, feedback: str = "random"):
        if feedback not in PATHWAYS:
            raise ValueError(f"in PyTorch, feedback is one of {', '.join(PATHWAYS)}, not {feedback!r}")
        self.rule, self.feedback, self.layers = rule, feedback, layers_of(model)
        shapes = [tuple(it.matrix().shape) for it in self.layers]
        has_other_length = any(len(each) != len(shapes) for each in (rule.active, rule.gains) if each is not None)
        if has_other_length or not rule.coefficients.fits(len(rule.terms), shapes):
            raise ValueError(f"the rule does not fit a model of {len(shapes)} layers with weights of shapes {shapes}")
        self.feedback_weights: list[Tensor] | None = None
        if feedback == "random":
            pairs = zip(shapes, self.layers, strict=True)
            self.feedback_weights = [self._drawn(shape, it.affine.weight.shape) for shape, it in pairs]
        self.memory: list[list[Tensor] | None] = [None] * len(self.layers)
        self._programs: dict[tuple, Callable[..., list[Tensor]]] = {}

    def weights(self) -> tuple[Float[np.ndarray, "post pre"], ...]:
        """The weights as a network of metaplax has them, one matrix per layer, biases in the last column."""
        return tuple(it.matrix().detach().cpu().numpy() for it in self.layers)

    def load_weights(self, weights: Sequence[Any]) -> None:
        """Put such weights, of NumPy or JAX, into the model.

        Raises:
            ValueError: they have other shapes.
        """
        shapes = [[tuple(each.shape) for each in them] for them in (weights, self.weights())]
        if shapes[0] != shapes[1]:
            raise ValueError(f"weights of shapes {shapes[0]} do not fit a model with those of shapes {shapes[1]}")
        with pytorch().no_grad():
            for layer, matrix in zip(self.layers, weights, strict=True):
                layer.load(pytorch().as_tensor(np.array(matrix), **self._like))

    def step(self, x: Tensor, y: Tensor) -> Tensor:
        """Change the weights of the model by one example, or by the sum of the changes of a minibatch.

        Args:
            x: inputs ``(batch, ...)``, as the model takes them; or one input, without that axis.
            y: classes ``(batch,)`` of an integer type, for a softmax output with cross-entropy; or numbers
                ``(batch, outputs)``, for a linear output with half the squared error. Without that axis for one input.

        Returns:
            the outputs before the change, ``(batch, outputs)``, or ``(outputs,)`` for one input.

        Raises:
            ValueError: the targets have another shape, or a term of the rule needs what there is not in PyTorch.
        """
        is_one = y.ndim == int(y.is_floating_point())
        with pytorch().no_grad():
            inputs, targets = (x[None], y[None]) if is_one else (x, y)
            z_of, y_of = self._forward(inputs)
            y_of[-1], output_error = read_out(z_of[-1], targets)
            errors, signals = self._taught(y_of, output_error)
            news = [self._changed(k, y_of, z_of[k], errors, signals[k + 1]) for k in range(len(self.layers))]
            for layer, new in zip(self.layers, news, strict=True):
                layer.load(new)
        return z_of[-1][0] if is_one else z_of[-1]

    @property
    def _like(self) -> dict[str, Any]:
        """Type and device of new tensors."""
        weight = self.layers[0].affine.weight
        return {"dtype": weight.dtype, "device": weight.device}

    def _forward(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """What the nonlinearities are applied to, and the activities of all populations, the input first."""
        y_of, z_of = [x], []
        for layer in self.layers:
            z_of.append(layer.affine(y_of[-1] if layer.is_image else y_of[-1].flatten(1)))
            # A copy, since an activation may work in place.
            y_of.append(z_of[-1] if layer.activation is None else layer.activation(z_of[-1].clone()))
        return z_of, y_of

    def _taught(self, y_of: list[Tensor], output_error: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Errors and learning signals of all populations, the input first."""
        errors, signals = [output_error], [output_error]
        for k in range(len(self.layers) - 1, -1, -1):
            layer, activity = self.layers[k], y_of[k]
            if self.feedback == "direct":
                signal = (output_error @ self._direct(y_of)[k]).reshape(activity.shape)
            else:
                weight = self.feedback_weights[k] if self.feedback_weights else layer.affine.weight
                signal = layer.back(weight, errors[0], activity.shape)
            # The first nonlinearity stands for that of the input, which has none of its own.
            errors.insert(0, signal * self.layers[max(k - 1, 0)].slope(activity))
            signals.insert(0, signal)
        return errors, signals

    def _direct(self, y_of: list[Tensor]) -> list[Tensor]:
        """The weights of direct feedback, which are drawn when the sizes of images are known."""
        if self.feedback_weights is None:
            shapes = [(y_of[-1].shape[1], y[0].numel()) for y in y_of[:-1]]
            self.feedback_weights = [self._drawn(shape, shape) for shape in shapes]
        return self.feedback_weights

    def _drawn(self, of: tuple[int, ...], shape: tuple[int, ...]) -> Tensor:
        """Numbers from the Glorot uniform distribution of a matrix of shape ``of``."""
        bound = (6.0 / sum(of)) ** 0.5
        return pytorch().empty(shape, **self._like).uniform_(-bound, bound)

    def _changed(self, k: int, y_of: list[Tensor], z: Tensor, errors: list[Tensor], signal: Tensor) -> Tensor:
        """The matrix of layer ``k`` after the change; keeps what its terms remember."""
        layer, post = self.layers[k], y_of[k + 1]
        seen = {
            "pre": layer.columns(y_of[k], 1.0),
            "pre_error": layer.columns(errors[k], 0.0),
            "post": layer.rows(post),
            "post_error": layer.rows(errors[k + 1]),
            "preactivation": layer.rows(z),
            "post_slope": layer.rows(layer.slope(post)),
            "post_signal": layer.rows(signal),
        }
        matrix = layer.matrix()
        positions = Positions(seen["pre"].shape[1], shared=True) if layer.is_image else None
        memory = self.memory[k]
        if memory is None:
            start = jax.tree.leaves(self.rule.memory(tuple(matrix.shape), positions))
            memory = [pytorch().as_tensor(np.array(leaf), **self._like) for leaf in start]
        program = self._program(k, tuple(matrix.shape), positions, {name: each.shape for name, each in seen.items()})
        new, *self.memory[k] = program(*memory, *(seen[name] for name in sorted(seen)), matrix)
        return new

    def _program(
        self, k: int, shape: tuple[int, int], positions: Positions | None, seen: dict[str, tuple[int, ...]]
    ) -> Callable[..., list[Tensor]]:
        """The change of the matrix of layer ``k`` for a batch of this size: recorded once."""
        count = seen["pre"][0]
        if (k, count, positions) not in self._programs:

            def change(memory: PyTree, seen: PyTree, weight: Any) -> PyTree:
                ask = lambda seen: self.rule.asked(k + 1, Signals(**seen, weight=weight), memory, positions)  # noqa: E731
                asked, after = jax.vmap(ask)(seen)
                changes = self.rule.weighted(k + 1, tuple(total(update, count) for update in asked))
                return apply(weight, changes), jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), after)

            of = lambda shape: jax.ShapeDtypeStruct(tuple(shape), jnp.result_type(float))  # noqa: E731
            memory = jax.eval_shape(lambda: self.rule.memory(shape, positions))
            arguments = memory, {name: of(each) for name, each in seen.items()}, of(shape)
            program = in_torch(change, self.layers[0].affine.weight.detach(), *arguments)
            self._programs[k, count, positions] = program
        return self._programs[k, count, positions]


def read_out(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Activity and error of the output: of a softmax for classes, else of linear neurons.

    Raises:
        ValueError: the targets have another shape.
    """
    torch = pytorch()
    expected = logits.shape if targets.is_floating_point() else logits.shape[:1]
    if targets.shape != expected:
        raise ValueError(f"the targets have shape {tuple(targets.shape)} in place of {tuple(expected)}")
    if targets.is_floating_point():
        return logits, logits - targets
    output = torch.softmax(logits, dim=1)
    return output, output - torch.nn.functional.one_hot(targets.long(), logits.shape[1])
