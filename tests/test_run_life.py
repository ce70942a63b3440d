"""The lives of runs: a few of the random ones of ``scripts/run_life.py``."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "run_life.py"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this operating system does not fork")
def test_a_run_is_finished_as_if_nothing_had_happened_or_says_why_not():
    """Hundreds of them take minutes: ``scripts/run_life.py --sequences 500``."""
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths, "METAPLAX_COMPILATION_CACHE": "off"}
    command = [sys.executable, SCRIPT, "--sequences", "4", "--operations", "6", "--seed", "8"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 sequences, 0 faults" in done.stdout
