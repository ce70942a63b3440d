"""Keeping runs: run folder, checkpoints, recorders, progress, interruption, and the loop over steps."""

from metaplax.runs.checkpoints import CheckpointError, Checkpoints, fingerprint
from metaplax.runs.compilation_cache import use_compilation_cache
from metaplax.runs.descriptions import ReportOptions, StudyDescription, with_tuples
from metaplax.runs.hosts import HostsError, join_processes
from metaplax.runs.machine import differences, environment
from metaplax.runs.progress import (
    AbstractProgress,
    NoProgress,
    NotebookProgress,
    PlainProgress,
    RichProgress,
    default_progress,
    is_notebook,
)
from metaplax.runs.recorder import AbstractRecorder, AbstractStepRecorder, FolderRecorder, MemoryRecorder, Row
from metaplax.runs.run_folder import RunFolder
from metaplax.runs.run_steps import Interrupted, Interruption, Step, run_steps
from metaplax.runs.schema import RunFolderError, as_kind

__all__ = [
    "AbstractProgress", "AbstractRecorder", "AbstractStepRecorder", "CheckpointError", "Checkpoints", "FolderRecorder",
    "HostsError", "Interrupted", "Interruption", "MemoryRecorder", "NoProgress", "NotebookProgress", "PlainProgress",
    "ReportOptions", "RichProgress", "Row", "RunFolder", "RunFolderError", "Step", "StudyDescription", "as_kind",
    "default_progress", "differences", "environment", "fingerprint", "is_notebook", "join_processes", "run_steps",
    "use_compilation_cache", "with_tuples",
]  # fmt: skip
