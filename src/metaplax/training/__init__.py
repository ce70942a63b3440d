"""The outer loop, and all that keeps it safe: checkpoints, resume, progress, interruption."""

from metaplax.training.checkpoints import CheckpointError, Checkpoints
from metaplax.training.clip_to_recent import clip_to_recent
from metaplax.training.compilation_cache import use_compilation_cache
from metaplax.training.drive import Step, drive
from metaplax.training.groups import by_field
from metaplax.training.interruption import Interrupted, Interruption
from metaplax.training.journal import AbstractJournal, FolderJournal, MemoryJournal, Row
from metaplax.training.keep_largest import keep_largest
from metaplax.training.meta_train import (
    DivergedError,
    MetaState,
    MetaTrained,
    keys_of_trials,
    lasting,
    meta_train,
    start,
)
from metaplax.training.polyak import averaged, polyak_average
from metaplax.training.progress import AbstractProgress, NoProgress, PlainProgress, RichProgress, default_progress
from metaplax.training.run_folder import RunFolder, RunFolderError, environment, finite
from metaplax.training.spread import AbstractSpread, restrict_to_cores, spread, use_all_cores
from metaplax.training.units import in_units, stability_radii, trusted_units

__all__ = [
    "AbstractJournal",
    "AbstractProgress",
    "AbstractSpread",
    "CheckpointError",
    "Checkpoints",
    "DivergedError",
    "FolderJournal",
    "Interrupted",
    "Interruption",
    "MemoryJournal",
    "MetaState",
    "MetaTrained",
    "NoProgress",
    "PlainProgress",
    "RichProgress",
    "Row",
    "RunFolder",
    "RunFolderError",
    "Step",
    "averaged",
    "by_field",
    "clip_to_recent",
    "default_progress",
    "drive",
    "environment",
    "finite",
    "in_units",
    "keep_largest",
    "keys_of_trials",
    "lasting",
    "meta_train",
    "polyak_average",
    "restrict_to_cores",
    "spread",
    "stability_radii",
    "start",
    "trusted_units",
    "use_all_cores",
    "use_compilation_cache",
]
