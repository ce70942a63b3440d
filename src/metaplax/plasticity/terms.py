"""The ten candidate terms of Shervani-Tabar & Rosenbaum (2023), Eqs. 14-23, in factored form.

Signs are the paper's: a term with a leading minus carries it here too, so a coefficient means the
same as in the paper. The index ``k`` of ``F<k>`` is the one of ``theta<k>``.
"""

from abc import abstractmethod
from typing import ClassVar, Literal

import equinox as eqx
import jax.numpy as jnp

from metaplax.plasticity.signals import Signals
from metaplax.plasticity.updates import AbstractUpdate, Decay, Outer

Locality = Literal["synapse", "layer"]
"""``synapse``: the change of ``W[j, k]`` needs only what neurons ``j`` and ``k`` carry (and ``W[j, k]``);
``layer``: it also needs a sum over the neurons on either side."""


class AbstractTerm(eqx.Module):
    """One way in which a synapse may change, as a function of its layer's :class:`Signals`.

    Subclasses give ``name`` (letters and digits, as it appears in metrics: ``theta<name>``), ``latex`` and
    ``text`` (the term with its sign left out), ``sign`` and ``locality``.
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
    """``F0 = -e_l y_{l-1}^T``, the gradient step that backprop makes when the errors are exact (Eq. 14)."""

    name = "0"
    text = "eₗ yₗ₋₁ᵀ"
    latex = r"e_\ell\, y_{\ell-1}^\top"
    sign = -1

    def __call__(self, signals: Signals) -> Outer:
        return Outer(signals.post_error, -signals.pre)


class ActivityErrorHebb(AbstractTerm):
    """``F1 = -y_l e_{l-1}^T``, post-synaptic activity times pre-synaptic error (Eq. 15)."""

    name = "1"
    text = "yₗ eₗ₋₁ᵀ"
    latex = r"y_\ell\, e_{\ell-1}^\top"
    sign = -1

    def __call__(self, signals: Signals) -> Outer:
        return Outer(signals.post, -signals.pre_error)


class ErrorHebb(AbstractTerm):
    """``F2 = -e_l e_{l-1}^T``, Hebbian plasticity on the errors, "eHebb" (Eqs. 8 and 16)."""

    name = "2"
    text = "eₗ eₗ₋₁ᵀ"
    latex = r"e_\ell\, e_{\ell-1}^\top"
    sign = -1

    def __call__(self, signals: Signals) -> Outer:
        return Outer(signals.post_error, -signals.pre_error)


class WeightDecay(AbstractTerm):
    """``F3 = -W_{l-1,l}`` (Eq. 17)."""

    name = "3"
    text = "Wₗ"
    latex = r"W_\ell"
    sign = -1

    def __call__(self, signals: Signals) -> Decay:
        del signals
        return Decay()


class PreError(AbstractTerm):
    """``F4 = -1_l e_{l-1}^T``, pre-synaptic error alone (Eq. 18)."""

    name = "4"
    text = "1ₗ eₗ₋₁ᵀ"
    latex = r"1_\ell\, e_{\ell-1}^\top"
    sign = -1

    def __call__(self, signals: Signals) -> Outer:
        return Outer(jnp.ones_like(signals.post), -signals.pre_error)


class PopulationGatedGradient(AbstractTerm):
    """``F5 = -(sum_j y_l[j]) e_l y_{l-1}^T``, the pseudo-gradient gated by total activity (Eq. 19)."""

    name = "5"
    text = "(1ₗᵀyₗ) eₗ yₗ₋₁ᵀ"
    latex = r"(1_\ell^\top y_\ell)\, e_\ell\, y_{\ell-1}^\top"
    sign = -1
    locality = "layer"

    def __call__(self, signals: Signals) -> Outer:
        return Outer(signals.post_error, -jnp.sum(signals.post) * signals.pre)


class ProjectedErrorActivity(AbstractTerm):
    """``F6 = -(y_l^T W e_{l-1}) y_l e_{l-1}^T`` (Eq. 20)."""

    name = "6"
    text = "(yₗᵀWₗeₗ₋₁) yₗ eₗ₋₁ᵀ"
    latex = r"(y_\ell^\top W_\ell e_{\ell-1})\, y_\ell\, e_{\ell-1}^\top"
    sign = -1
    locality = "layer"

    def __call__(self, signals: Signals) -> Outer:
        gate = signals.reconstruction @ signals.pre_error
        return Outer(signals.post, -gate * signals.pre_error)


class ProjectedErrorGradient(AbstractTerm):
    """``F7 = -(y_l^T W e_{l-1}) e_l y_{l-1}^T`` (Eq. 21)."""

    name = "7"
    text = "(yₗᵀWₗeₗ₋₁) eₗ yₗ₋₁ᵀ"
    latex = r"(y_\ell^\top W_\ell e_{\ell-1})\, e_\ell\, y_{\ell-1}^\top"
    sign = -1
    locality = "layer"

    def __call__(self, signals: Signals) -> Outer:
        gate = signals.reconstruction @ signals.pre_error
        return Outer(signals.post_error, -gate * signals.pre)


class PreactivationErrorActivity(AbstractTerm):
    """``F8 = -(z_l^T e_l) y_l e_{l-1}^T``, with ``z_l = W y_{l-1}`` the drive (Eq. 22)."""

    name = "8"
    text = "(zₗᵀeₗ) yₗ eₗ₋₁ᵀ"
    latex = r"(z_\ell^\top e_\ell)\, y_\ell\, e_{\ell-1}^\top"
    sign = -1
    locality = "layer"

    def __call__(self, signals: Signals) -> Outer:
        gate = signals.preactivation @ signals.post_error
        return Outer(signals.post, -gate * signals.pre_error)


class Oja(AbstractTerm):
    """``F9 = y_l (y_{l-1} - W^T y_l)^T``, Oja's subspace rule, with a plus sign (Eq. 23)."""

    name = "9"
    text = "yₗ (yₗ₋₁ − Wₗᵀyₗ)ᵀ"
    latex = r"y_\ell\, (y_{\ell-1} - W_\ell^\top y_\ell)^\top"
    locality = "layer"

    def __call__(self, signals: Signals) -> Outer:
        return Outer(signals.post, signals.pre - signals.reconstruction)


ALL_TERMS: tuple[type[AbstractTerm], ...] = (
    PseudoGradient,
    ActivityErrorHebb,
    ErrorHebb,
    WeightDecay,
    PreError,
    PopulationGatedGradient,
    ProjectedErrorActivity,
    ProjectedErrorGradient,
    PreactivationErrorActivity,
    Oja,
)
"""``F0`` to ``F9``, in the paper's order."""
