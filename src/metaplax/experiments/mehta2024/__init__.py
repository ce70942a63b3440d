"""Mehta et al. (2024): plasticity rules inferred from recorded activity and from choices."""

from metaplax.experiments.mehta2024 import oja

EXPERIMENTS = (oja.OjaRecovery, oja.OjaGrid)

__all__ = ["EXPERIMENTS"]
