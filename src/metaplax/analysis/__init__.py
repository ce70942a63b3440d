"""Measurements on adapted networks, and statistics over trials."""

from metaplax.analysis.addressed_memory import AddressedMemory
from metaplax.analysis.alignment import alignment_angles, angle, feedback_cosines, orthonormality_error
from metaplax.analysis.anti_hebbian import anti_hebbian, novelties
from metaplax.analysis.differences import Difference, paired_difference, unpaired_difference
from metaplax.analysis.intervals import interval, mean_and_interval, nan_mean
from metaplax.analysis.quantities import (
    Published,
    Quantity,
    by_study,
    cost_per_step,
    episodes_of,
    over_trials,
    per_trial,
    quantities,
    spent_until,
)

__all__ = [
    "AddressedMemory", "Difference", "Published", "Quantity", "alignment_angles", "angle", "anti_hebbian", "by_study",
    "cost_per_step", "episodes_of", "feedback_cosines", "interval", "mean_and_interval", "nan_mean", "novelties",
    "orthonormality_error", "over_trials", "paired_difference", "per_trial", "quantities", "spent_until",
    "unpaired_difference",
]  # fmt: skip
