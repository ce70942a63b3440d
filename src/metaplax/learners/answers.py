"""Scores of the answers that a learner gives to its support set along the way, each before it learns from the example.

Only sums are kept, so that a stream may have any length, and any estimator finds them in the state of the inner loop.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from metaplax.networks import AbstractReadout

Numbers = dict[str, Float[Array, ""]]

OuterLoss = Callable[[Float[Array, "examples ..."], Num[Array, "examples ..."]], Float[Array, ""]]
"""A loss of one's own: of the logits of the query set, with an axis of time in sequences, and its targets."""


class Answers(eqx.Module):
    """Sums over the answers so far.

    Attributes:
        loss: of the losses.
        count: of the answers.
        metrics: of every metric of the readout, over the answers for which it is defined: NaN does not count.
        counts: how many answers these were.
    """

    loss: Float[Array, ""]
    count: Float[Array, ""]
    metrics: Numbers
    counts: Numbers

    def and_of(
        self,
        readout: AbstractReadout,
        loss: OuterLoss,
        logits: Float[Array, "rows outputs"],
        targets: Num[Array, "rows ..."],
        weight: Float[Array, ""] | float = 1.0,
    ) -> "Answers":
        """The sums with one more answer.

        Args:
            readout: says which metrics there are.
            loss: the loss of the answer.
            logits: the answer: one row, or one for every step of a sequence that is scored.
            targets: one for every row.
            weight: 0 for an answer that is not scored, else 1.
        """
        found = jax.lax.stop_gradient(readout.metrics(logits, targets))
        known = {name: weight * jnp.isfinite(value) for name, value in found.items()}
        values = {name: jnp.where(known[name] > 0, value, 0.0) for name, value in found.items()}
        add = lambda old, new: jax.tree.map(jnp.add, old, new)  # noqa: E731
        lost = jnp.where(weight > 0, loss(logits, targets), 0.0)
        return Answers(self.loss + lost, self.count + weight, add(self.metrics, values), add(self.counts, known))

    def means(self) -> tuple[Float[Array, ""], Numbers]:
        """The mean loss, 0 if nothing was scored, and the mean of every metric, NaN where no answer defined it."""
        means = {name: self.metrics[name] / self.counts[name] for name in self.metrics}
        return self.loss / jnp.maximum(self.count, 1), means


def no_answers(readout: AbstractReadout, outputs: int) -> Answers:
    """The sums before the first answer of a network with so many outputs."""
    dtype = jnp.result_type(float)
    kind = jnp.int32 if readout.takes == "classes" else dtype
    one = jax.ShapeDtypeStruct((1, outputs), dtype), jax.ShapeDtypeStruct((1, *readout.target_shape(outputs)), kind)
    names = jax.eval_shape(readout.metrics, *one)
    nothing = lambda: {name: jnp.zeros(()) for name in names}  # noqa: E731
    return Answers(jnp.zeros(()), jnp.zeros(()), nothing(), nothing())


def answered(
    readout: AbstractReadout,
    own: OuterLoss | None,
    answers: Answers | tuple[()],
    logits: Float[Array, "rows outputs"],
    targets: Num[Array, "rows ..."],
    outputs: Float[Array, "..."],
    y: Num[Array, "..."],
    weight: Float[Array, ""] | float = 1.0,
) -> Answers | tuple[()]:
    """The sums with one more answer, where answers are scored; one whose target is all NaN is left out.

    A loss of one's own sees all ``outputs`` of the example, and its target ``y``.
    """
    if not isinstance(answers, Answers):
        return ()
    if jnp.issubdtype(targets.dtype, jnp.floating):
        weight = weight * jnp.any(~jnp.isnan(targets))
    loss = readout.loss if own is None else lambda *_: own(outputs[None], y[None])
    return answers.and_of(readout, loss, logits, targets, weight)
