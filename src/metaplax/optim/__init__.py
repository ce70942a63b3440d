"""Transformations of the outer optimiser's updates, in the optax protocol, and optimisers without gradients."""

from metaplax.optim.clip_by_running_rms import clip_by_running_rms
from metaplax.optim.composition import per_field, rescaled
from metaplax.optim.full_matrix_adam import full_matrix_adam
from metaplax.optim.hard_threshold import hard_threshold
from metaplax.optim.polyak_average import averaged_params, polyak_average
from metaplax.optim.population_search import Evosax

__all__ = [
    "Evosax", "averaged_params", "clip_by_running_rms", "full_matrix_adam", "hard_threshold", "per_field",
    "polyak_average", "rescaled",
]  # fmt: skip
