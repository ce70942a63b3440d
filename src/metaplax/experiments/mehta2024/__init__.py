"""Mehta et al. (2024): plasticity rules inferred from recorded activity and from choices."""

from metaplax.experiments.mehta2024 import choices, oja

EXPERIMENTS = (oja.OjaRecovery, oja.OjaGrid, choices.Choices)

__all__ = ["EXPERIMENTS"]
