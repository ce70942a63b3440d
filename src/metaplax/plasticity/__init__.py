"""Local plasticity: terms, the updates they return, and rules made of them."""

from metaplax.plasticity import rules
from metaplax.plasticity.coefficients import (
    AbstractCoefficients,
    GlobalCoefficients,
    LayerCoefficients,
    NeuronCoefficients,
    Sharing,
    SynapseCoefficients,
    shared,
)
from metaplax.plasticity.equation import PrintedTerm, as_latex, as_text
from metaplax.plasticity.penalties import L1, AbstractPenalty, NoPenalty
from metaplax.plasticity.rules import Rule
from metaplax.plasticity.signals import Signals
from metaplax.plasticity.terms import (
    ALL_TERMS,
    AbstractTerm,
    ActivityErrorHebb,
    DriveErrorActivity,
    ErrorHebb,
    Oja,
    PopulationGatedGradient,
    PreError,
    ProjectedErrorActivity,
    ProjectedErrorGradient,
    PseudoGradient,
    WeightDecay,
)
from metaplax.plasticity.updates import (
    AbstractUpdate,
    Changes,
    Coefficient,
    Decay,
    Dense,
    GatedOuter,
    Outer,
    apply,
    merge,
    undo,
)

__all__ = [
    "ALL_TERMS",
    "L1",
    "AbstractCoefficients",
    "AbstractPenalty",
    "AbstractTerm",
    "AbstractUpdate",
    "ActivityErrorHebb",
    "Changes",
    "Coefficient",
    "Decay",
    "Dense",
    "DriveErrorActivity",
    "ErrorHebb",
    "GatedOuter",
    "GlobalCoefficients",
    "LayerCoefficients",
    "NeuronCoefficients",
    "NoPenalty",
    "Oja",
    "Outer",
    "PopulationGatedGradient",
    "PreError",
    "PrintedTerm",
    "ProjectedErrorActivity",
    "ProjectedErrorGradient",
    "PseudoGradient",
    "Rule",
    "Sharing",
    "Signals",
    "SynapseCoefficients",
    "WeightDecay",
    "apply",
    "as_latex",
    "as_text",
    "merge",
    "rules",
    "shared",
    "undo",
]
