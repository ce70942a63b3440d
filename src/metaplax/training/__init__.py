"""The outer loop, and all that keeps it safe: checkpoints, resume, progress, interruption."""

from metaplax.training.checkpoints import CheckpointError, Checkpoints
from metaplax.training.compilation_cache import use_compilation_cache
from metaplax.training.interruption import Interrupted, Interruption
from metaplax.training.journal import AbstractJournal, FolderJournal, MemoryJournal
from metaplax.training.meta_train import DivergedError, MetaState, MetaTrained, meta_train
from metaplax.training.progress import AbstractProgress, NoProgress, PlainProgress, RichProgress, default_progress
from metaplax.training.run_folder import RunFolder, RunFolderError, environment, finite
from metaplax.training.spread import AbstractSpread, restrict_to_cores, spread, use_all_cores

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
    "RunFolder",
    "RunFolderError",
    "default_progress",
    "environment",
    "finite",
    "meta_train",
    "restrict_to_cores",
    "spread",
    "use_all_cores",
    "use_compilation_cache",
]
