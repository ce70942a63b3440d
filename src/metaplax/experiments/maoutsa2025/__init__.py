"""Maoutsa (2025): meta-learned three-factor rules for learning from sparse reward."""

from metaplax.experiments.base import AbstractExperiment
from metaplax.experiments.maoutsa2025.meta_learned import Polynomial

EXPERIMENTS: tuple[type[AbstractExperiment], ...] = (Polynomial,)

__all__ = ["EXPERIMENTS"]
