"""Plasticity rules inferred from recorded experiments: from the activity of neurons, or from choices and rewards."""

from metaplax.inference.identifiability import Identifiability, identifiability, profile
from metaplax.inference.infer import Inferred, compare_models, infer
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
    replaying_recurrent,
    with_coefficients,
)
from metaplax.inference.readers import read_array, read_nwb
from metaplax.inference.recorded_arrays import Recorded, recorded
from metaplax.inference.replay import Replay, explained, misfit, pooled_r2, replay, unlearned
from metaplax.inference.simulated import SimulatedFly, SimulatedLayer

__all__ = [
    "MODELS", "OF_ACTIVITY", "OF_CHOICES", "Identifiability", "Inferred", "Model", "Recorded", "Replay", "SimulatedFly",
    "SimulatedLayer", "as_model", "choosing_start", "coefficients_of", "compare_models", "explained", "identifiability",
    "infer", "misfit", "network_rule", "polynomial", "pooled_r2", "profile", "read_array", "read_nwb", "recorded",
    "replay", "replaying_activity", "replaying_choices", "replaying_recurrent", "unlearned", "with_coefficients",
]  # fmt: skip
