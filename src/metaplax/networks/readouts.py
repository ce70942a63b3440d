"""Readouts: the nonlinearity of the output layer, its loss, and the output error that feedback starts from."""

from abc import abstractmethod
from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Num

from metaplax.networks.activations import AbstractActivation, Sigmoid


class AbstractReadout(eqx.Module):
    """Output nonlinearity together with its loss.

    Attributes:
        takes: kind of the targets: ``"classes"`` (integers) or floating-point ``"numbers"``.
    """

    takes: ClassVar[Literal["classes", "numbers"]] = "numbers"

    @abstractmethod
    def error(self, output: Float[Array, " n"], target: Num[Array, "..."]) -> Float[Array, " n"]:
        """Output error ``e_L``, the derivative of the loss with respect to the logits."""

    @abstractmethod
    def loss(self, logits: Float[Array, "batch n"], target: Num[Array, "batch ..."]) -> Float[Array, ""]:
        """Mean loss over a batch."""

    def __call__(self, logits: Float[Array, "... n"]) -> Float[Array, "... n"]:
        """Output activity ``y_L``; by default the logits."""
        return logits

    def target_shape(self, outputs: int) -> tuple[int, ...]:
        """Shape of the target of one example: ``(outputs,)``, or ``()`` for a class."""
        return () if self.takes == "classes" else (outputs,)

    def encode_target(self, target: Num[Array, "..."], outputs: int) -> Float[Array, " n"]:
        """The target as output activity of shape ``(outputs,)``, e.g. one-hot; by default the target itself."""
        return target

    def metrics(self, logits: Float[Array, "batch n"], target: Num[Array, "batch ..."]) -> dict[str, Float[Array, ""]]:
        """Further measures to record besides the loss, as means over a batch; by default none."""
        return {}


class SoftmaxCrossEntropy(AbstractReadout):
    """Softmax output with the cross-entropy loss (natural logarithm, mean over the batch)."""

    takes: ClassVar[Literal["classes", "numbers"]] = "classes"

    def __call__(self, logits: Float[Array, "... n"]) -> Float[Array, "... n"]:
        return jax.nn.softmax(logits)

    def error(self, output: Float[Array, " n"], target: Num[Array, "..."]) -> Float[Array, " n"]:
        return output - jax.nn.one_hot(target, output.shape[-1], dtype=output.dtype)

    def encode_target(self, target: Num[Array, "..."], outputs: int) -> Float[Array, " n"]:
        return jax.nn.one_hot(target, outputs, dtype=jnp.result_type(float))

    def loss(self, logits: Float[Array, "batch n"], target: Num[Array, "batch ..."]) -> Float[Array, ""]:
        log_probability = jax.nn.log_softmax(logits)
        return -jnp.mean(jnp.take_along_axis(log_probability, target[:, None], axis=1))

    def metrics(self, logits: Float[Array, "batch n"], target: Num[Array, "batch ..."]) -> dict[str, Float[Array, ""]]:
        return {"accuracy": jnp.mean(jnp.argmax(logits, axis=1) == target, dtype=logits.dtype)}


class SquaredError(AbstractReadout):
    """Linear output with half the squared error (summed over outputs, mean over the batch)."""

    def error(self, output: Float[Array, " n"], target: Num[Array, "..."]) -> Float[Array, " n"]:
        return output - target

    def loss(self, logits: Float[Array, "batch n"], target: Num[Array, "batch ..."]) -> Float[Array, ""]:
        return 0.5 * jnp.mean(jnp.sum((logits - target) ** 2, axis=1))

    def metrics(self, logits: Float[Array, "batch n"], target: Num[Array, "batch ..."]) -> dict[str, Float[Array, ""]]:
        return {"squared_error": 2 * self.loss(logits, target)}


class MeanSquaredError(AbstractReadout):
    """Linear output with the mean squared error over outputs and batch.

    Its output error is output minus target; the derivative of the loss is twice that, divided by the number of outputs.
    """

    def error(self, output: Float[Array, " n"], target: Num[Array, "..."]) -> Float[Array, " n"]:
        return output - target

    def loss(self, logits: Float[Array, "batch n"], target: Num[Array, "batch ..."]) -> Float[Array, ""]:
        return jnp.mean((logits - target) ** 2)


class TargetLevels(AbstractReadout):
    """One linear output that shall be at the level of the class, with the mean distance from it as the loss.

    Classes may be more than there are levels, such as types of trials, two of which ask for the same answer.

    Args:
        levels: the level of every class.

    Raises:
        ValueError: there is no level.
    """

    takes: ClassVar[Literal["classes", "numbers"]] = "classes"
    levels: tuple[float, ...] = eqx.field(static=True, default=(-1.0, 1.0))

    def __check_init__(self):
        if not self.levels:
            raise ValueError("at least one class needs a level")

    def encode_target(self, target: Num[Array, "..."], outputs: int) -> Float[Array, " n"]:
        return jnp.asarray(self.levels, float)[target][None]

    def error(self, output: Float[Array, " n"], target: Num[Array, "..."]) -> Float[Array, " n"]:
        return jnp.sign(output - self.encode_target(target, 1))

    def loss(self, logits: Float[Array, "batch n"], target: Num[Array, "batch ..."]) -> Float[Array, ""]:
        return jnp.mean(jnp.abs(logits - jnp.asarray(self.levels, float)[target][:, None]))


class PartialSquaredError(AbstractReadout):
    """Linear output with the squared error of the known targets, summed over outputs, mean over the batch.

    Unknown targets, such as the rewards of actions that were not taken, are NaN and contribute no error.
    """

    def error(self, output: Float[Array, " n"], target: Num[Array, "..."]) -> Float[Array, " n"]:
        known = jnp.isfinite(target)
        return jnp.where(known, output - jnp.where(known, target, 0), 0)

    def loss(self, logits: Float[Array, "batch n"], target: Num[Array, "batch ..."]) -> Float[Array, ""]:
        return jnp.mean(jnp.sum(jax.vmap(self.error)(logits, target) ** 2, axis=1))


class RecordedActivity(AbstractReadout):
    """Output neurons whose activity was recorded, with the mean squared error of those that were.

    Activity that was not recorded is NaN in the targets and contributes no error.

    Args:
        activation: of the output neurons; ``None`` for linear ones.
    """

    activation: AbstractActivation | None = Sigmoid()

    def __call__(self, logits: Float[Array, "... n"]) -> Float[Array, "... n"]:
        return logits if self.activation is None else self.activation(logits)

    def error(self, output: Float[Array, " n"], target: Num[Array, "..."]) -> Float[Array, " n"]:
        missed = _known_part(output - target)[0]
        return missed if self.activation is None else missed * self.activation.derivative(output)

    def loss(self, logits: Float[Array, "batch n"], target: Num[Array, "batch ..."]) -> Float[Array, ""]:
        missed, known = _known_part(self(logits) - target)
        return jnp.sum(missed**2) / jnp.maximum(jnp.sum(known), 1)


class BinaryCrossEntropy(AbstractReadout):
    """Logistic outputs with the cross-entropy loss (natural logarithm, summed over outputs, mean over the batch).

    Targets are 0.0 or 1.0; a target that is not known is NaN and contributes no error. An output is a yes if it is
    above one half. The rates of true and of false positives are NaN where no target is a one, or none a zero.
    """

    def __call__(self, logits: Float[Array, "... n"]) -> Float[Array, "... n"]:
        return jax.nn.sigmoid(logits)

    def error(self, output: Float[Array, " n"], target: Num[Array, "..."]) -> Float[Array, " n"]:
        return _known_part(output - target)[0]

    def loss(self, logits: Float[Array, "batch n"], target: Num[Array, "batch ..."]) -> Float[Array, ""]:
        choice, known = _known_part(target)
        misfit = jnp.where(known, jax.nn.softplus(logits) - choice * logits, 0.0)
        return jnp.sum(misfit) / jnp.maximum(jnp.sum(jnp.any(known, axis=1)), 1)

    def metrics(self, logits: Float[Array, "batch n"], target: Num[Array, "batch ..."]) -> dict[str, Float[Array, ""]]:
        known = ~jnp.isnan(target)
        said_yes, is_yes, is_no = logits > 0, target > 0.5, known & ~(target > 0.5)
        mean = lambda found, among: jnp.sum(found & among, dtype=logits.dtype) / jnp.sum(among)  # noqa: E731
        return {
            "accuracy": mean(said_yes == is_yes, known),
            "true_positive_rate": mean(said_yes, is_yes),
            "false_positive_rate": mean(said_yes, is_no),
        }


def _known_part(values: Float[Array, "*shape"]) -> tuple[Float[Array, "*shape"], Bool[Array, "*shape"]]:
    """The values with 0 in place of NaN, and which of them are known."""
    known = ~jnp.isnan(values)
    return jnp.where(known, values, 0.0), known
