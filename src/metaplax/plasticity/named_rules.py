"""Rules by name, available as ``mp.rules``: those of the paper before meta-training, and learned ones to be loaded.

The paper is Shervani-Tabar & Rosenbaum (2023). In all functions here ``sharing`` says which synapses share a
coefficient, and ``sizes`` are the numbers of neurons per layer, input first, needed unless sharing is ``"global"``.
"""

from collections.abc import Sequence

from metaplax.plasticity.coefficients import Sharing, shared
from metaplax.plasticity.library import available, describe, load
from metaplax.plasticity.rule import Rule
from metaplax.plasticity.terms import ALL_TERMS, AbstractTerm, ErrorHebb, Oja, PseudoGradient

__all__ = ["START", "Rule", "available", "describe", "ehebb", "f_bio", "gradient", "load", "make", "oja", "pool"]

START = 1e-3
"""Initial coefficient of the first term; all others start at zero (Algorithm 1)."""


def make(terms: Sequence[AbstractTerm], sharing: Sharing = "global", sizes: Sequence[int] = ()) -> Rule:
    """A rule of the given terms, started as in Algorithm 1: the first coefficient at 1e-3, the others at 0."""
    initial = [START] + [0.0] * (len(terms) - 1)
    return Rule(tuple(terms), shared(initial, sharing, sizes))


def gradient(sharing: Sharing = "global", sizes: Sequence[int] = ()) -> Rule:
    """The pseudo-gradient alone: backprop or feedback alignment, depending on the feedback (Eq. 4)."""
    return make([PseudoGradient()], sharing, sizes)


def ehebb(sharing: Sharing = "global", sizes: Sequence[int] = ()) -> Rule:
    """``F_eHebb``: pseudo-gradient and Hebbian plasticity on the errors (Eq. 8)."""
    return make([PseudoGradient(), ErrorHebb()], sharing, sizes)


def oja(sharing: Sharing = "global", sizes: Sequence[int] = ()) -> Rule:
    """``F_Oja``: pseudo-gradient and Oja's rule (Eq. 10)."""
    return make([PseudoGradient(), Oja()], sharing, sizes)


def f_bio(sharing: Sharing = "global", sizes: Sequence[int] = ()) -> Rule:
    """``F_bio``: the three terms that meta-training with a penalty selects in the paper (Eq. 7)."""
    return make([PseudoGradient(), ErrorHebb(), Oja()], sharing, sizes)


def pool(sharing: Sharing = "global", sizes: Sequence[int] = ()) -> Rule:
    """``F_pool``: all ten candidate terms (Eqs. 14-23)."""
    return make([term() for term in ALL_TERMS], sharing, sizes)
