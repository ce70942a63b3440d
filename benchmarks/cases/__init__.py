"""Inner steps and meta-steps of the published sizes that are timed; they know nothing of their rivals."""

from benchmarks.cases.base import AbstractStep, Run
from benchmarks.cases.eprop import EPropStep
from benchmarks.cases.few_shot import FEW_SHOT_STEPS, FewShotMetaUpdate, FewShotStep
from benchmarks.cases.meta_optimisation import REGULARISED_STEPS, RegularisedStep
from benchmarks.cases.reward_gated import REWARD_STEPS, RewardGatedMetaStep
from benchmarks.cases.streams import META_STEPS, StreamMetaStep

INNER_STEPS: dict[str, AbstractStep] = {**REGULARISED_STEPS, "spiking-sinusoid": EPropStep()}
"""Inner steps by the name of their experiment."""
STEPS: dict[str, AbstractStep] = {**INNER_STEPS, **META_STEPS, **FEW_SHOT_STEPS, **REWARD_STEPS}
"""Everything that ``python -m benchmarks steps`` can time."""

__all__ = [
    "INNER_STEPS",
    "STEPS",
    "AbstractStep",
    "EPropStep",
    "FewShotMetaUpdate",
    "FewShotStep",
    "RegularisedStep",
    "RewardGatedMetaStep",
    "Run",
    "StreamMetaStep",
]
