"""Local plasticity terms: the ten candidates of Shervani-Tabar & Rosenbaum (2023), Eqs. 14-23, and two further ones.

Signs are those of the paper: a term with a leading minus carries it here too, so that a coefficient means the same as
in the paper. The index ``k`` of ``F<k>`` is that of its coefficient ``theta<k>``.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from metaplax.plasticity.signals import Signals
from metaplax.plasticity.updates import AbstractUpdate, Decay, Outer, Sum

Locality = Literal["synapse", "layer"]
"""``synapse``: the change of ``W[j, k]`` depends only on the signals of neurons ``j`` and ``k`` and on ``W[j, k]``;
``layer``: it also depends on a sum over the neurons on either side."""


class AbstractTerm(eqx.Module):
    """A change of the weights of one layer, as a function of its ``Signals``.

    Attributes:
        name: letters and digits; the coefficient is recorded as ``theta<name>``.
        text: the term as plain text, without its sign.
        latex: the same in LaTeX.
        sign: -1 if the term has a leading minus, else 1.
        locality: the signals that the change of one synapse depends on.
    """

    name: ClassVar[str]
    text: ClassVar[str]
    latex: ClassVar[str]
    sign: ClassVar[Literal[-1, 1]] = 1
    locality: ClassVar[Locality] = "synapse"

    @abstractmethod
    def __call__(self, signals: Signals) -> AbstractUpdate:
        """The change of the weights for a coefficient of one."""


class PseudoGradient(AbstractTerm):
    """``F0 = -e_l y_{l-1}^T``, the gradient step of backprop if the errors are exact (Eq. 14)."""

    name, sign = "0", -1
    text, latex = "eₗ yₗ₋₁ᵀ", r"e_\ell\, y_{\ell-1}^\top"

    def __call__(self, signals: Signals) -> Outer:
        return Outer(signals.post_error, -signals.pre)


class ActivityErrorHebb(AbstractTerm):
    """``F1 = -y_l e_{l-1}^T``, post-synaptic activity times pre-synaptic error (Eq. 15)."""

    name, sign = "1", -1
    text, latex = "yₗ eₗ₋₁ᵀ", r"y_\ell\, e_{\ell-1}^\top"

    def __call__(self, signals: Signals) -> Outer:
        return Outer(signals.post, -signals.pre_error)


class ErrorHebb(AbstractTerm):
    """``F2 = -e_l e_{l-1}^T``, Hebbian plasticity on the errors, "eHebb" (Eqs. 8 and 16)."""

    name, sign = "2", -1
    text, latex = "eₗ eₗ₋₁ᵀ", r"e_\ell\, e_{\ell-1}^\top"

    def __call__(self, signals: Signals) -> Outer:
        return Outer(signals.post_error, -signals.pre_error)


class WeightDecay(AbstractTerm):
    """``F3 = -W_{l-1,l}`` (Eq. 17)."""

    name, sign = "3", -1
    text, latex = "Wₗ", r"W_\ell"

    def __call__(self, signals: Signals) -> Decay:
        return Decay()


class PreError(AbstractTerm):
    """``F4 = -1_l e_{l-1}^T``, pre-synaptic error alone (Eq. 18)."""

    name, sign = "4", -1
    text, latex = "1ₗ eₗ₋₁ᵀ", r"1_\ell\, e_{\ell-1}^\top"

    def __call__(self, signals: Signals) -> Outer:
        return Outer(jnp.ones_like(signals.post), -signals.pre_error)


class PopulationGatedGradient(AbstractTerm):
    """``F5 = -(sum_j y_l[j]) e_l y_{l-1}^T``, the pseudo-gradient gated by total activity (Eq. 19)."""

    name, sign, locality = "5", -1, "layer"
    text, latex = "(1ₗᵀyₗ) eₗ yₗ₋₁ᵀ", r"(1_\ell^\top y_\ell)\, e_\ell\, y_{\ell-1}^\top"

    def __call__(self, signals: Signals) -> Outer:
        return Outer(signals.post_error, -jnp.sum(signals.post) * signals.pre)


class ProjectedErrorActivity(AbstractTerm):
    """``F6 = -(y_l^T W e_{l-1}) y_l e_{l-1}^T`` (Eq. 20)."""

    name, sign, locality = "6", -1, "layer"
    text, latex = "(yₗᵀWₗeₗ₋₁) yₗ eₗ₋₁ᵀ", r"(y_\ell^\top W_\ell e_{\ell-1})\, y_\ell\, e_{\ell-1}^\top"

    def __call__(self, signals: Signals) -> Outer:
        gate = signals.reconstruction @ signals.pre_error
        return Outer(signals.post, -gate * signals.pre_error)


class ProjectedErrorGradient(AbstractTerm):
    """``F7 = -(y_l^T W e_{l-1}) e_l y_{l-1}^T`` (Eq. 21)."""

    name, sign, locality = "7", -1, "layer"
    text, latex = "(yₗᵀWₗeₗ₋₁) eₗ yₗ₋₁ᵀ", r"(y_\ell^\top W_\ell e_{\ell-1})\, e_\ell\, y_{\ell-1}^\top"

    def __call__(self, signals: Signals) -> Outer:
        gate = signals.reconstruction @ signals.pre_error
        return Outer(signals.post_error, -gate * signals.pre)


class PreactivationErrorActivity(AbstractTerm):
    """``F8 = -(z_l^T e_l) y_l e_{l-1}^T``, with the preactivation ``z_l = W y_{l-1}`` (Eq. 22)."""

    name, sign, locality = "8", -1, "layer"
    text, latex = "(zₗᵀeₗ) yₗ eₗ₋₁ᵀ", r"(z_\ell^\top e_\ell)\, y_\ell\, e_{\ell-1}^\top"

    def __call__(self, signals: Signals) -> Outer:
        gate = signals.preactivation @ signals.post_error
        return Outer(signals.post, -gate * signals.pre_error)


class Oja(AbstractTerm):
    """``F9 = y_l (y_{l-1} - W^T y_l)^T``, Oja's subspace rule, with a plus sign (Eq. 23)."""

    name, locality = "9", "layer"
    text, latex = "yₗ (yₗ₋₁ − Wₗᵀyₗ)ᵀ", r"y_\ell\, (y_{\ell-1} - W_\ell^\top y_\ell)^\top"

    def __call__(self, signals: Signals) -> Outer:
        return Outer(signals.post, signals.pre - signals.reconstruction)


class CentredGradient(AbstractTerm):
    """``-e_l (y_{l-1} - mean(y_{l-1}))^T``: the pseudo-gradient relative to the mean pre-synaptic activity.

    The activity of softplus neurons and pixels is positive, so the mean over the layer dominates the pseudo-gradient
    and limits the learning rate. Subtracting it, as feed-forward inhibition by one interneuron per layer would, removes
    that direction.
    """

    name, sign, locality = "c", -1, "layer"
    text, latex = "eₗ (yₗ₋₁ − ȳₗ₋₁)ᵀ", r"e_\ell\, (y_{\ell-1} - \bar{y}_{\ell-1})^\top"

    def __call__(self, signals: Signals) -> Outer:
        return Outer(signals.post_error, -(signals.pre - jnp.mean(signals.pre)))


class NormalisedGradient(AbstractTerm):
    """``-e_l y_{l-1}^T / (floor + mean(y_{l-1}^2))``: the pseudo-gradient with divisive normalisation of its input.

    As in normalised least mean squares (Nagumo & Noda, 1967), the effect of a step on the preactivation does not depend
    on how large the input is.
    """

    name, sign, locality = "n", -1, "layer"
    text, latex = "eₗ yₗ₋₁ᵀ / ⟨yₗ₋₁²⟩", r"e_\ell\, y_{\ell-1}^\top / \langle y_{\ell-1}^2 \rangle"
    floor: float = 1e-3

    def __call__(self, signals: Signals) -> Outer:
        return Outer(signals.post_error, -signals.pre / (self.floor + jnp.mean(signals.pre**2)))


class Hebb(AbstractTerm):
    """``y_l y_{l-1}^T``: neurons that fire together wire together (Hebb, 1949)."""

    name = "hebb"
    text, latex = "yₗ yₗ₋₁ᵀ", r"y_\ell\, y_{\ell-1}^\top"

    def __call__(self, signals: Signals) -> Outer:
        return Outer(signals.post, signals.pre)


class NeuronOja(AbstractTerm):
    """``y_l y_{l-1}^T - diag(y_l^2) W``: Hebbian plasticity that keeps the weights of every neuron bounded.

    Unlike the subspace rule ``Oja``, every synapse sees its own two neurons only. Source: Oja (1982); Lindsey &
    Litwin-Kumar (2020), section 3.
    """

    name = "oja"
    text, latex = "(yₗ yₗ₋₁ᵀ − yₗ² Wₗ)", r"(y_\ell\, y_{\ell-1}^\top - \mathrm{diag}(y_\ell^2)\, W_\ell)"

    def __call__(self, signals: Signals) -> Sum:
        return Sum((Outer(signals.post, signals.pre), Decay(signals.post**2)))


class Sensitivity(AbstractTerm):
    """``-sigma'(z_l) y_{l-1}^T``: the derivative of the post-synaptic activity with respect to the weight.

    Times the learning signal of the neuron it is the pseudo-gradient. As the inside of ``Eligibility`` it makes RFLO
    (Murray, 2019) and e-prop (Bellec et al., 2020).
    """

    name, sign = "s", -1
    text, latex = "σ′(zₗ) yₗ₋₁ᵀ", r"\sigma'(z_\ell)\, y_{\ell-1}^\top"

    def __call__(self, signals: Signals) -> Outer:
        return Outer(slope_of(signals), -signals.pre)


class FunctionTerm(AbstractTerm):
    """A term without memory, made of a function of the ``Signals``; see ``term``."""

    name: str = eqx.field(static=True)  # pyright: ignore
    function: Callable[[Signals], AbstractUpdate] = eqx.field(static=True)
    text: str = eqx.field(static=True)  # pyright: ignore
    latex: str = eqx.field(static=True)  # pyright: ignore

    def __call__(self, signals: Signals) -> AbstractUpdate:
        return self.function(signals)


def term(
    name: str, function: Callable[[Signals], AbstractUpdate], text: str | None = None, latex: str | None = None
) -> FunctionTerm:
    """A term of one's own in one line: ``term("hebb", lambda s: Outer(s.post, s.pre))``.

    Args:
        name: letters and digits; the coefficient is recorded as ``theta<name>``.
        function: of the signals of one connection; gives an update.
        text: how it is printed; by default its name.
        latex: the same in LaTeX.
    """
    text = f"{name}ₗ" if text is None else text
    latex = rf"\mathrm{{{name}}}_\ell" if latex is None else latex
    return FunctionTerm(name=name, function=function, text=text, latex=latex)


def slope_of(signals: Signals) -> Array:
    """Derivative of the post-synaptic activity.

    Raises:
        ValueError: the signals were made without it.
    """
    if signals.post_slope is None:
        raise ValueError("this term needs the derivative of the post-synaptic activity, which these signals lack")
    return signals.post_slope


ALL_TERMS: tuple[type[AbstractTerm], ...] = (
    PseudoGradient, ActivityErrorHebb, ErrorHebb, WeightDecay, PreError, PopulationGatedGradient,
    ProjectedErrorActivity, ProjectedErrorGradient, PreactivationErrorActivity, Oja,
)  # fmt: skip
"""``F0`` to ``F9``, in the order of the paper."""

FURTHER_TERMS: tuple[type[AbstractTerm], ...] = (CentredGradient, NormalisedGradient)
"""Terms that are not among the candidates of the paper."""
