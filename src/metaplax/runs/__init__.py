"""Keeping runs: run folder, checkpoints, recorders, progress, interruption, and the loop over steps."""

from metaplax.runs.checkpoints import CheckpointError, Checkpoints, fingerprint
from metaplax.runs.compilation_cache import use_compilation_cache
from metaplax.runs.descriptions import ReportOptions, StudyDescription, with_tuples
from metaplax.runs.progress import AbstractProgress, NoProgress, PlainProgress, RichProgress, default_progress
from metaplax.runs.recorder import AbstractRecorder, FolderRecorder, MemoryRecorder, Row
from metaplax.runs.run_folder import RunFolder, RunFolderError, environment
from metaplax.runs.run_steps import Interrupted, Interruption, Step, run_steps

__all__ = [
    "AbstractProgress", "AbstractRecorder", "CheckpointError", "Checkpoints", "FolderRecorder", "Interrupted",
    "Interruption", "MemoryRecorder", "NoProgress", "PlainProgress", "ReportOptions", "RichProgress", "Row",
    "RunFolder", "RunFolderError", "Step", "StudyDescription", "default_progress", "environment", "fingerprint",
    "run_steps", "use_compilation_cache", "with_tuples",
]  # fmt: skip
