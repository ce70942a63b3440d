"""Plasticity rules inferred from recorded experiments: from the activity of neurons, or from choices and rewards."""

from metaplax.inference.models import (
    MODELS,
    OF_ACTIVITY,
    OF_CHOICES,
    Model,
    as_model,
    choosing_start,
    coefficients_of,
    network_rule,
    polynomial,
    replaying_activity,
    replaying_choices,
    with_coefficients,
)
from metaplax.inference.replay import Replay, explained, misfit, pooled_r2, replay, unlearned

__all__ = [
    "MODELS", "OF_ACTIVITY", "OF_CHOICES", "Model", "Replay", "as_model", "choosing_start", "coefficients_of",
    "explained", "misfit", "network_rule", "polynomial", "pooled_r2", "replay", "replaying_activity",
    "replaying_choices", "unlearned", "with_coefficients",
]  # fmt: skip
