"""What meta-gradients cost on this machine: time, memory, compilation, and how far from what is possible."""

from metaplax.benchmark.case import Case, RuleName
from metaplax.benchmark.few_shot_steps import FEW_SHOT_STEPS
from metaplax.benchmark.floor import bandwidth, product_bytes
from metaplax.benchmark.inner_steps import STEPS, AbstractInnerStep, StepCost, step_cost
from metaplax.benchmark.measure import Cost, measure
from metaplax.benchmark.meta_steps import META_STEPS, StreamMetaStep
from metaplax.benchmark.pytorch import EagerCost, eager_pytorch
from metaplax.benchmark.table import Benchmark, benchmark

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
