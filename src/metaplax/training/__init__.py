"""The outer loop and its parts: layout over devices, going back after explosions, scales of meta-parameters."""

from metaplax.training.divergence import DivergedError
from metaplax.training.launch import Training, launch
from metaplax.training.layout import AbstractLayout, Layout, choose_layout, restrict_to_cores, use_all_cores
from metaplax.training.meta_state import MetaState
from metaplax.training.meta_step import first_carried, initial_state, keys_of_trials
from metaplax.training.meta_train import meta_train
from metaplax.training.result import MetaTrained, load, resample_key, trial_learner
from metaplax.training.rollback import Rollback
from metaplax.training.stable_scales import stability_radii, stable_scales

__all__ = [
    "AbstractLayout", "DivergedError", "Layout", "MetaState", "MetaTrained", "Rollback", "Training", "choose_layout",
    "first_carried", "initial_state", "keys_of_trials", "launch", "load", "meta_train", "resample_key",
    "restrict_to_cores",    "stability_radii", "stable_scales", "trial_learner", "use_all_cores",
]  # fmt: skip
