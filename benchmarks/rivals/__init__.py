"""The same computations in eager PyTorch, on the same arrays and one thread; importing this package needs PyTorch."""

from collections.abc import Callable
from typing import Any

import torch

from benchmarks.cases import (
    EPropStep,
    FewShotMetaUpdate,
    FewShotStep,
    RegularisedStep,
    RewardGatedMetaStep,
    Run,
    StreamMetaStep,
)
from benchmarks.rivals import eprop, few_shot, meta_optimisation, reward_gated, streams

torch.set_num_threads(1)

RIVALS: dict[type, Callable[[Any, int], Run]] = {
    RegularisedStep: meta_optimisation.rival,
    EPropStep: eprop.rival,
    StreamMetaStep: streams.rival,
    FewShotStep: few_shot.rival,
    FewShotMetaUpdate: few_shot.meta_update_rival,
    RewardGatedMetaStep: reward_gated.rival,
}
"""By the type of a case: a function of the case and a number of steps that gives a run."""
