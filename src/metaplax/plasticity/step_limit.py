"""How far one step of a plasticity rule may go: what keeps learning by large updates from exploding."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from metaplax.plasticity.updates import AbstractUpdate, BatchOuter, Changes, Clipped, Decay, Outer, parts

TINY = 1e-12
"""Lower limit of what a limit is divided by."""


class StepLimit(eqx.Module):
    """In a step that would go too far, the whole change of that neuron is made smaller.

    One step shrinks a weight by the fraction ``a``, the sum of its decays: above 2 it overshoots further with every
    step, and below 1 a step can be undone. It changes the response of a neuron to its input by ``b`` times the
    post-synaptic factor of its updates, where ``b`` is the coefficient times ``sum |pre|^2``: in several layers at
    once, or above 2 where errors are fed back, activity grows without end. Both are known to the neuron; the second is
    the step size of normalised LMS (Nagumo & Noda, 1967). In a minibatch they are sums over its examples.

    A third limit is of another kind: ``entry`` cuts the change of every single weight.

    Args:
        forgetting: largest fraction of a weight that one step may remove; ``None`` for no limit.
        response: largest change of the response of a neuron to its input, in units of the post-synaptic factor;
            ``None`` for no limit.
        entry: largest change of a weight in one step, whatever the others do; ``None`` for no limit.

    Raises:
        ValueError: a limit is not positive.
    """

    forgetting: float | None = eqx.field(static=True, default=0.5)
    response: float | None = eqx.field(static=True, default=None)
    entry: float | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        for limit in (self.forgetting, self.response, self.entry):
            if limit is not None and not limit > 0:
                raise ValueError(f"the limits of a step must be positive, not {limit}")

    def factor(self, asked: Changes, largest: Sequence[Array], gain: float) -> Float[Array, "..."]:
        """What the change of every neuron of a layer is multiplied by.

        Args:
            asked: the updates of all terms, for a coefficient of one.
            largest: size of the coefficient of each, one number or one per post-synaptic neuron.
            gain: a further factor.

        Raises:
            ValueError: an update is neither an outer product nor a decay.
        """
        factor = jnp.asarray(gain)
        for limit, strength in ((self.forgetting, _forgotten), (self.response, _response)):
            if limit is not None:
                pairs = zip(asked, largest, strict=True)
                reached = gain * sum(size * strength(part) for update, size in pairs for part in parts(update))
                factor = jnp.minimum(factor, gain * limit / jnp.maximum(reached, TINY))
        return factor

    def cut(self, changes: Changes) -> Changes:
        """The changes of a layer, cut at the limit of every single weight."""
        return changes if self.entry is None or not changes else (Clipped(jnp.asarray(self.entry), changes),)


def _forgotten(update: AbstractUpdate) -> Array | float:
    """The fraction of its weights that an update removes."""
    if isinstance(update, Decay):
        if update.rate is None:
            return 1.0
        return jnp.max(jnp.abs(update.rate), axis=1) if update.rate.ndim == 2 else jnp.abs(update.rate)
    return _none_of(update)


def _response(update: AbstractUpdate) -> Array | float:
    """How an update changes the response to its own input, in units of its post-synaptic factor."""
    if isinstance(update, Outer | BatchOuter):
        return jnp.sum(update.pre**2)
    return _none_of(update)


def _none_of(update: AbstractUpdate) -> float:
    if isinstance(update, Outer | BatchOuter | Decay):
        return 0.0
    raise ValueError(
        f"steps are limited for outer products and decays, not for updates of the kind {type(update).__name__}"
    )
