"""Rules by name, available as ``mp.rules``: those of the paper before meta-training, and learned ones to be loaded.

The paper is Shervani-Tabar & Rosenbaum (2023). In all functions here ``sharing`` says which synapses share a
coefficient, and ``sizes`` are the numbers of neurons per layer, input first, or ``network.shapes``, needed unless
sharing is ``"global"``.
"""

from collections.abc import Sequence
from math import log

from jaxtyping import Array, Key

from metaplax.plasticity.coefficients import Sharing, Sizes, shared
from metaplax.plasticity.general_terms import MLPTerm, Seen, monomials
from metaplax.plasticity.library import available, describe, load
from metaplax.plasticity.memory import Eligibility, Traced
from metaplax.plasticity.rule import Rule
from metaplax.plasticity.spike_terms import AdaptiveSensitivity
from metaplax.plasticity.terms import ALL_TERMS, AbstractTerm, ErrorHebb, Oja, PseudoGradient, Sensitivity

__all__ = [
    "START",
    "Rule",
    "available",
    "describe",
    "ehebb",
    "eprop",
    "f_bio",
    "gradient",
    "load",
    "make",
    "mlp",
    "oja",
    "pool",
    "taylor",
]

START = 1e-3
"""Initial coefficient of the first term; all others start at zero (Algorithm 1)."""


def make(terms: Sequence[AbstractTerm], sharing: Sharing = "global", sizes: Sizes = ()) -> Rule:
    """A rule of the given terms, started as in Algorithm 1: the first coefficient at 1e-3, the others at 0."""
    initial = [START] + [0.0] * (len(terms) - 1)
    return Rule(tuple(terms), shared(initial, sharing, sizes))


def gradient(sharing: Sharing = "global", sizes: Sizes = ()) -> Rule:
    """The pseudo-gradient alone: backprop or feedback alignment, depending on the feedback (Eq. 4)."""
    return make([PseudoGradient()], sharing, sizes)


def ehebb(sharing: Sharing = "global", sizes: Sizes = ()) -> Rule:
    """``F_eHebb``: pseudo-gradient and Hebbian plasticity on the errors (Eq. 8)."""
    return make([PseudoGradient(), ErrorHebb()], sharing, sizes)


def oja(sharing: Sharing = "global", sizes: Sizes = ()) -> Rule:
    """``F_Oja``: pseudo-gradient and Oja's rule (Eq. 10)."""
    return make([PseudoGradient(), Oja()], sharing, sizes)


def f_bio(sharing: Sharing = "global", sizes: Sizes = ()) -> Rule:
    """``F_bio``: the three terms that meta-training with a penalty selects in the paper (Eq. 7)."""
    return make([PseudoGradient(), ErrorHebb(), Oja()], sharing, sizes)


def pool(sharing: Sharing = "global", sizes: Sizes = ()) -> Rule:
    """``F_pool``: all ten candidate terms (Eqs. 14-23)."""
    return make([term() for term in ALL_TERMS], sharing, sizes)


def eprop(
    decay: float,
    readout_decay: float,
    *,
    adaptation: float = 0.0,
    adaptation_decay: float = 0.995,
    coefficient: float = 1.0,
) -> Rule:
    """e-prop for one layer of spiking neurons, ``LIF``, and a leaky readout with ``leak="sum"``.

    The eligibility of a synapse times the learning signal of its neuron; with ``Symmetric`` feedback it is the gradient
    without the paths from neuron to neuron, times minus the coefficient.

    Args:
        decay: factor of the voltages in one step.
        readout_decay: factor of the outputs in one step, ``1 - 1 / tau``.
        adaptation: increase of the threshold per spike.
        adaptation_decay: factor of the adaptation in one step.
        coefficient: of both terms.

    Source: Bellec et al. (2020).
    """
    voltage, output = -1 / log(decay), -1 / log(readout_decay)
    inside = AdaptiveSensitivity(adaptation, adaptation_decay) if adaptation else Sensitivity()
    hidden = Eligibility(Traced(inside, pre=voltage), output, "post_signal")
    where = ((True, False), (True, False), (False, True))
    return Rule((hidden, Traced(PseudoGradient(), pre=output)), shared([coefficient] * 2), where)


def taylor(
    degree: int = 2, of: Sequence[Seen] = ("pre", "post", "weight"), sharing: Sharing = "global", sizes: Sizes = ()
) -> Rule:
    """A polynomial in what a synapse sees, with all coefficients at zero: ``(degree + 1) ** len(of)`` terms.

    Source: Confavreux et al. (2020); Mehta et al. (2024).
    """
    terms = monomials(degree, of)
    return Rule(terms, shared([0.0] * len(terms), sharing, sizes))


def mlp(
    of: Sequence[Seen] = ("pre", "post", "post_error", "weight"), width: int = 8, *, key: Key[Array, ""] | None = None
) -> Rule:
    """A small network that computes the change of every synapse; its factor, the one coefficient, is held at one.

    Source: Mehta et al. (2024), section 2.
    """
    return Rule((MLPTerm(of, width, key=key),), shared([1.0])).hold("mlp")
