"""The output layer: how logits become activity, loss and the error that starts the feedback."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class AbstractReadout(eqx.Module):
    """Output nonlinearity together with the loss that is measured on it."""

    @abstractmethod
    def __call__(self, logits: Float[Array, "... n"]) -> Float[Array, "... n"]:
        """Output activity ``y_L``."""

    @abstractmethod
    def error(self, output: Float[Array, " n"], target: Int[Array, ""]) -> Float[Array, " n"]:
        """Output error ``e_L``, the derivative of the loss with respect to the logits."""

    @abstractmethod
    def loss(self, logits: Float[Array, "batch n"], target: Int[Array, " batch"]) -> Float[Array, ""]:
        """Mean loss over a batch."""


class SoftmaxCrossEntropy(AbstractReadout):
    """Softmax output with the cross-entropy loss (natural logarithm, mean over the batch)."""

    def __call__(self, logits: Float[Array, "... n"]) -> Float[Array, "... n"]:
        return jax.nn.softmax(logits)

    def error(self, output: Float[Array, " n"], target: Int[Array, ""]) -> Float[Array, " n"]:
        return output - jax.nn.one_hot(target, output.shape[-1], dtype=output.dtype)

    def loss(self, logits: Float[Array, "batch n"], target: Int[Array, " batch"]) -> Float[Array, ""]:
        log_probability = jax.nn.log_softmax(logits)
        return -jnp.mean(jnp.take_along_axis(log_probability, target[:, None], axis=1))
