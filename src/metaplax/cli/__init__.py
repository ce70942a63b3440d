"""The command line: parses, calls, prints."""

from metaplax.cli.main import main

__all__ = ["main"]
