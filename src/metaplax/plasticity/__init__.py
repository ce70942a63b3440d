"""Local plasticity: terms, the updates that they return, and rules, which are sums of terms."""

from metaplax.plasticity import named_rules as rules
from metaplax.plasticity.applied import Positions
from metaplax.plasticity.coefficients import (
    AbstractCoefficients,
    GlobalCoefficients,
    LayerCoefficients,
    NeuronCoefficients,
    Sharing,
    Sizes,
    SynapseCoefficients,
    shared,
)
from metaplax.plasticity.equation import PrintedTerm, as_latex, as_text
from metaplax.plasticity.fluctuations import Fluctuation, FluctuationPolynomial, NodePerturbation
from metaplax.plasticity.general_terms import MLPTerm, Monomial, monomials
from metaplax.plasticity.library import LearnedRule, UnknownRuleError
from metaplax.plasticity.memory import BCM, AbstractMemoryTerm, Eligibility, SynapticScaling, Taught, Traced
from metaplax.plasticity.penalties import L1, L2, AbstractPenalty, ElasticNet, NoPenalty
from metaplax.plasticity.rule import Rule
from metaplax.plasticity.scaled import Scaled
from metaplax.plasticity.signals import Signals
from metaplax.plasticity.spike_terms import STDP, AdaptiveSensitivity
from metaplax.plasticity.step_limit import StepLimit
from metaplax.plasticity.terms import (
    ALL_TERMS,
    FURTHER_TERMS,
    AbstractTerm,
    ActivityErrorHebb,
    CentredGradient,
    ErrorHebb,
    FunctionTerm,
    Hebb,
    NeuronOja,
    NormalisedGradient,
    Oja,
    PopulationGatedGradient,
    PreactivationErrorActivity,
    PreError,
    ProjectedErrorActivity,
    ProjectedErrorGradient,
    PseudoGradient,
    Sensitivity,
    WeightDecay,
    term,
)
from metaplax.plasticity.totals import total
from metaplax.plasticity.updates import (
    AbstractUpdate,
    BatchOuter,
    BlockOuter,
    Changes,
    Clipped,
    Coefficient,
    Decay,
    Dense,
    Gated,
    Outer,
    Replace,
    Sum,
    Weighted,
    apply,
    is_replaced,
    merge,
    pull_back,
    undo,
    why_not_undone,
)

__all__ = [
    "ALL_TERMS", "BCM", "FURTHER_TERMS", "L1", "L2", "STDP", "AbstractCoefficients", "AbstractMemoryTerm",
    "AbstractPenalty", "AbstractTerm", "AbstractUpdate", "ActivityErrorHebb", "AdaptiveSensitivity", "BatchOuter",
    "BlockOuter", "CentredGradient", "Changes", "Clipped", "Coefficient", "Decay", "Dense", "ElasticNet", "Eligibility",
    "ErrorHebb", "Fluctuation", "FluctuationPolynomial", "FunctionTerm", "Gated", "GlobalCoefficients", "Hebb",
    "LayerCoefficients", "LearnedRule", "MLPTerm", "Monomial", "NeuronCoefficients", "NeuronOja", "NoPenalty",
    "NodePerturbation", "NormalisedGradient", "Oja", "Outer", "PopulationGatedGradient", "Positions", "PreError",
    "PreactivationErrorActivity", "PrintedTerm", "ProjectedErrorActivity", "ProjectedErrorGradient", "PseudoGradient",
    "Replace", "Rule", "Scaled", "Sensitivity", "Sharing", "Signals", "Sizes", "StepLimit", "Sum",
    "SynapseCoefficients", "SynapticScaling", "Taught", "Traced", "UnknownRuleError", "WeightDecay", "Weighted",
    "apply", "as_latex", "as_text", "is_replaced", "merge", "monomials", "pull_back", "rules", "shared", "term",
    "total", "undo", "why_not_undone",
]  # fmt: skip
