"""What meta-gradients cost on this machine: time, memory, compilation, and how far from what is possible."""

from benchmarks.case import Case, RuleName
from benchmarks.few_shot_steps import FEW_SHOT_STEPS
from benchmarks.floor import bandwidth, product_bytes
from benchmarks.inner_steps import STEPS, AbstractInnerStep, StepCost, step_cost
from benchmarks.measure import Cost, measure
from benchmarks.meta_steps import META_STEPS, StreamMetaStep
from benchmarks.pytorch import EagerCost, eager_pytorch
from benchmarks.table import Benchmark, benchmark

__all__ = [
    "FEW_SHOT_STEPS",
    "META_STEPS",
    "STEPS",
    "AbstractInnerStep",
    "Benchmark",
    "Case",
    "Cost",
    "EagerCost",
    "RuleName",
    "StepCost",
    "StreamMetaStep",
    "bandwidth",
    "benchmark",
    "eager_pytorch",
    "measure",
    "product_bytes",
    "step_cost",
]
