"""Local terms that are not in the paper's pool."""

import jax.numpy as jnp

from metaplax.plasticity.signals import Signals
from metaplax.plasticity.terms import AbstractTerm
from metaplax.plasticity.updates import Outer


class CentredGradient(AbstractTerm):
    """``-e_l (y_{l-1} - mean(y_{l-1}))^T``: the pseudo-gradient, blind to what all pre-synaptic neurons share.

    Activities of softplus units and pixels are positive, so that the mean over the layer dominates the
    pseudo-gradient and limits the learning rate. Subtracting it, as feed-forward inhibition by one interneuron
    per layer would, takes that direction out.
    """

    name = "c"
    text = "eₗ (yₗ₋₁ − ȳₗ₋₁)ᵀ"
    latex = r"e_\ell\, (y_{\ell-1} - \bar{y}_{\ell-1})^\top"
    sign = -1
    locality = "layer"

    def __call__(self, signals: Signals) -> Outer:
        return Outer(signals.post_error, -(signals.pre - jnp.mean(signals.pre)))


class NormalisedGradient(AbstractTerm):
    """``-e_l y_{l-1}^T / (floor + mean(y_{l-1}^2))``: the pseudo-gradient with divisive normalisation of its input.

    As in normalised least mean squares (Nagumo & Noda, 1967), a step has the same effect on the post-synaptic
    drive whatever the strength of the input.
    """

    name = "n"
    text = "eₗ yₗ₋₁ᵀ / ⟨yₗ₋₁²⟩"
    latex = r"e_\ell\, y_{\ell-1}^\top / \langle y_{\ell-1}^2 \rangle"
    sign = -1
    locality = "layer"
    floor: float = 1e-3

    def __call__(self, signals: Signals) -> Outer:
        return Outer(signals.post_error, -signals.pre / (self.floor + jnp.mean(signals.pre**2)))


FURTHER_TERMS: tuple[type[AbstractTerm], ...] = (CentredGradient, NormalisedGradient)
"""Terms beyond the pool."""
