"""Measurements on adapted networks, and statistics over trials."""

from metaplax.analysis.alignment import alignment_angles, angle, orthonormality_error

__all__ = ["alignment_angles", "angle", "orthonormality_error"]
