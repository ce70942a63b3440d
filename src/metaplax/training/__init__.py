"""The outer loop and its parts: layout over devices, rollback, scales of meta-parameters."""

from metaplax.training.layout import AbstractLayout, choose_layout, restrict_to_cores, use_all_cores
from metaplax.training.meta_train import (
    DivergedError,
    MetaState,
    MetaTrained,
    keys_of_trials,
    meta_train,
    resample_key,
    start,
)
from metaplax.training.stable_scales import stability_radii, stable_scales

__all__ = [
    "AbstractLayout",
    "DivergedError",
    "MetaState",
    "MetaTrained",
    "choose_layout",
    "keys_of_trials",
    "meta_train",
    "resample_key",
    "restrict_to_cores",
    "stability_radii",
    "stable_scales",
    "start",
    "use_all_cores",
]
