"""Figures and the one-file HTML report. Reads run folders only, never runs anything."""

from metaplax.reports.comparison import against_best, compare, verdicts
from metaplax.reports.html import write
from metaplax.reports.pooling import pooled
from metaplax.reports.recorded import Recorded, read
from metaplax.reports.sweep_page import write_sweep
from metaplax.reports.sweep_results import Setting, Swept, doubt_about, read_sweep

__all__ = [
    "Recorded", "Setting", "Swept", "against_best", "compare", "doubt_about", "pooled", "read", "read_sweep",
    "verdicts", "write", "write_sweep",
]  # fmt: skip
