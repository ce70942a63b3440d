"""Figures and the one-file HTML report. Reads run folders only, never runs anything."""

from metaplax.reports.html import write
from metaplax.reports.recorded import Recorded, compare, read

__all__ = ["Recorded", "compare", "read", "write"]
