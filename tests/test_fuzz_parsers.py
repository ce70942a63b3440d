"""A short run of the campaign against all parsers; its full length is in ``docs/explanations/reliability.md``."""

import importlib.util
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "fuzz_parsers.py"


@pytest.fixture(scope="module")
def fuzz():
    spec = importlib.util.spec_from_file_location("fuzz_parsers", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_parser_fails_by_anything_but_a_sentence(fuzz):
    parsers = list(fuzz.TARGETS)
    assert fuzz.campaign(parsers, first=0, inputs=450) == {}


@pytest.mark.parametrize(
    ("read", "fault"),
    [
        (lambda folder: 1 / 0, "ZeroDivisionError"),
        (lambda folder: (folder.parent / "outside").open(), "Breach"),
        (lambda folder: list(folder.parent.iterdir()), "Breach"),
        (lambda folder: subprocess.run(["true"]), "Breach"),
    ],
    ids=["error", "open", "list", "process"],
)
def test_faults_are_found(fuzz, read, fault, tmp_path):
    (tmp_path / "data").mkdir()
    kind, _ = fuzz.fault_of(fuzz.Target(lambda mutate: {}, read), tmp_path / "data")
    assert kind.startswith(fault)
