"""What is printed: in any encoding, at any width, and to readers that stop reading."""

import io
import os
import re
import subprocess
import sys
from dataclasses import fields

import pytest

import own
from metaplax import data, experiments
from metaplax.cli import main
from metaplax.cli.tables import number
from metaplax.experiments import RunOptions, from_file
from metaplax.reports import read

VERBS = ("list", "data list", "run", "resume", "report", "compare")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run whose labels are not in ASCII, and its experiment."""
    folder = tmp_path_factory.mktemp("console")
    kind = from_file.load_from_file(own.write(folder), "Mine")
    return experiments.run(kind(), RunOptions(out=folder / "runs")).path


def words(verb, finished):
    """The command line of a verb."""
    file = finished.parents[1] / "mine.py"
    more = {
        "run": [f"{file}:Mine", "--out", str(finished.parents[1] / "more")],
        "resume": [str(finished)],
        "report": [str(finished)],
        "compare": [str(finished), str(finished)],
    }
    return [*verb.split(), *more.get(verb, [])]


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
@pytest.mark.parametrize("verb", VERBS)
def test_no_encoding_stops_a_command(verb, encoding, finished, monkeypatch):
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict") for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    assert main(words(verb, finished)) == 0
    out.flush()
    said = out.buffer.getvalue().decode(encoding)
    assert said.strip()
    if verb in ("run", "resume"):
        assert {"utf-8": "θ₁ and ΔWₗ", "ascii": "?? and ?W?", "cp1252": "?? and ?W?"}[encoding] in said


@pytest.mark.parametrize("columns", ["40", "80"])
@pytest.mark.parametrize("verb", ["list", "data list", "resume", "compare"])
def test_names_and_numbers_are_never_cut(verb, columns, finished, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    assert main(words(verb, finished)) == 0
    said = capsys.readouterr().out
    quantities = read(finished).quantities
    losses = [quantities[f"loss.{arm}"] for arm in ("one", "two")]
    small = [number(loss[end]) for loss in losses for end in ("mean", "ci_low", "ci_high")]
    assert all("e-05" in text for text in small)
    expected = {
        "list": [part for name in experiments.names() for part in name.split("/")],
        "data list": list(data.CATALOG),
        "resume": small,
        "compare": [*quantities, *small],
    }
    assert [text for text in expected[verb] if text not in said] == []
    if columns == "80" and verb != "compare":
        assert max(len(line) for line in said.splitlines()[:-2] if not line.startswith("finding:")) <= 80


@pytest.mark.parametrize("name", experiments.names())
def test_help_fits_80_columns_and_names_every_option(name, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main(["run", name, "--help"])
    said = capsys.readouterr().out
    options = [f"--{field.name.replace('_', '-')}" for field in fields(experiments.lookup(name))]
    assert [option for option in options if not re.search(rf"{option}\b", said)] == []
    assert "…" not in said
    assert not re.search(r":\w+:`|``", said), "markup of the reference"


@pytest.mark.parametrize("arguments", [["list"], ["list", "--json"], ["run", "quickstart", "--help"], ["--help"]])
def test_a_reader_that_has_gone_is_no_error(arguments, monkeypatch, capfd):
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(arguments) == 141
    monkeypatch.undo()
    assert capfd.readouterr().err == ""


def test_python_does_not_complain_when_it_exits():
    command = f'{sys.executable} -m metaplax list --json | head -c 1 >/dev/null; echo "${{PIPESTATUS[0]}}"'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) in (("0", ""), ("141", ""))
