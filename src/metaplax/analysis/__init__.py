"""Measurements on adapted networks, and statistics over trials."""

from metaplax.analysis.alignment import alignment_angles, angle, orthonormality_error
from metaplax.analysis.bootstrap import bootstrap_interval, nan_mean
from metaplax.analysis.quantities import Published, Quantity, episodes_of, over_trials, quantities

__all__ = [
    "Published", "Quantity", "alignment_angles", "angle", "bootstrap_interval", "episodes_of", "nan_mean",
    "orthonormality_error", "over_trials", "quantities",
]  # fmt: skip
