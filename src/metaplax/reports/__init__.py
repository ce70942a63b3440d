"""Figures and the one-file HTML report. Reads run folders only, never runs anything."""

from metaplax.reports.comparison import against_best, compare, verdicts
from metaplax.reports.html import write
from metaplax.reports.pooling import pooled
from metaplax.reports.recorded import Recorded, read

__all__ = ["Recorded", "against_best", "compare", "pooled", "read", "verdicts", "write"]
