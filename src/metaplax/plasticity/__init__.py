"""Local plasticity: terms, the updates that they return, and rules, which are sums of terms."""

from metaplax.plasticity import named_rules as rules
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
from metaplax.plasticity.library import LearnedRule, UnknownRuleError
from metaplax.plasticity.penalties import L1, L2, AbstractPenalty, ElasticNet, NoPenalty
from metaplax.plasticity.rule import Rule
from metaplax.plasticity.signals import Signals
from metaplax.plasticity.terms import (
    ALL_TERMS,
    FURTHER_TERMS,
    AbstractTerm,
    ActivityErrorHebb,
    CentredGradient,
    ErrorHebb,
    NormalisedGradient,
    Oja,
    PopulationGatedGradient,
    PreactivationErrorActivity,
    PreError,
    ProjectedErrorActivity,
    ProjectedErrorGradient,
    PseudoGradient,
    WeightDecay,
)
from metaplax.plasticity.updates import (
    INVERTIBLE_UPDATES,
    AbstractUpdate,
    BatchOuter,
    Changes,
    Coefficient,
    Decay,
    Dense,
    Gated,
    Outer,
    apply,
    merge,
    pull_back,
    undo,
)

__all__ = [
    "ALL_TERMS", "FURTHER_TERMS", "INVERTIBLE_UPDATES", "L1", "L2", "AbstractCoefficients", "AbstractPenalty",
    "AbstractTerm", "AbstractUpdate", "ActivityErrorHebb", "BatchOuter", "CentredGradient", "Changes", "Coefficient",
    "Decay", "Dense", "ElasticNet", "ErrorHebb", "Gated", "GlobalCoefficients", "LayerCoefficients", "LearnedRule",
    "NeuronCoefficients", "NoPenalty", "NormalisedGradient", "Oja", "Outer", "PopulationGatedGradient", "PreError",
    "PreactivationErrorActivity", "PrintedTerm", "ProjectedErrorActivity", "ProjectedErrorGradient", "PseudoGradient",
    "Rule", "Sharing", "Signals", "SynapseCoefficients", "UnknownRuleError", "WeightDecay", "apply", "as_latex",
    "as_text", "merge", "pull_back", "rules", "shared", "undo",
]  # fmt: skip
