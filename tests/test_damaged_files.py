"""Whatever is in the place of a run folder's files: every command says one sentence, at once."""

import json
import os
import shutil
from pathlib import Path

import pytest

import counting
from metaplax import experiments
from metaplax.cli import main
from metaplax.experiments import RunOptions
from metaplax.plasticity.library import LearnedRule
from metaplax.runs import schema

known = counting.known
COMMANDS = {
    "resume": lambda folder: ["resume", folder],
    "report": lambda folder: ["report", folder],
    "compare": lambda folder: ["compare", folder, folder, "--json"],
    "evaluate": lambda folder: ["evaluate", folder],
}
DEEP = b'{"a":' * 100_000


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    options = RunOptions(out=tmp_path_factory.mktemp("runs"), checkpoint_seconds=1e9)
    folder = experiments.run(counting.Counting(), options)
    folder.write_json("example_tasks/a.json", EXAMPLE)
    return folder.path


SHOWN = {"said": [0.5], "spike_steps": [1], "spike_neurons": [2], "voltages": [[0.0]]}
EXAMPLE = {"axis": "x", "x_values": [0.5], "target": [1.0], "support_x_values": [], "support_target": []} | {
    **{"dt": 1.0, "threshold": 1.0, "before": SHOWN, "after": SHOWN}
}


@pytest.fixture
def folder(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "copy")


def refuses(command: str, folder: Path, capsys) -> str:
    """What a command says, which must be one sentence."""
    code = main(COMMANDS[command](str(folder)))
    said = capsys.readouterr().err.splitlines()
    assert code in (1, 2), command
    assert said[-1].startswith("metaplax: "), said
    return said[-1]


def pipe(path: Path) -> None:
    os.mkfifo(path)


def folder_instead(path: Path) -> None:
    path.mkdir()


CONTENTS = {
    "an empty line": b"\n",
    "null": b"null\n",
    "a list": b"[]\n",
    "not text": b"\xff\x00\n",
    "nested deeply": DEEP + b"\n",
    "nested deeply, and closed": DEEP + b"1" + b"}" * 100_000 + b"\n",
    "other names": b'{"wings": 2}\n',
    "cut short": b'{"title": "x\n',
}
INSTEAD = {"a pipe": pipe, "a folder": folder_instead}


@pytest.mark.parametrize("what", [*CONTENTS, *INSTEAD])
@pytest.mark.parametrize("name", ["config.json", "env.json", "metrics.jsonl", "result.json", "example_tasks/a.json"])
def test_other_contents(name, what, folder, capsys):
    path = folder / name
    path.unlink()
    path.write_bytes(CONTENTS[what]) if what in CONTENTS else INSTEAD[what](path)
    for command in COMMANDS:
        if name in ("result.json", "example_tasks/a.json") and command in ("resume", "evaluate"):
            continue  # it is written anew, or not needed
        if (name, what) in HARMLESS or (name == "metrics.jsonl" and command == "evaluate"):
            continue
        assert name.split("/")[-1] in refuses(command, folder, capsys)


HARMLESS = {("env.json", "other names"), ("result.json", "other names"), ("example_tasks/a.json", "other names")}
"""What an earlier version may have written."""


def replaced(value, path, new):
    """A copy of a JSON value with another one at a path in it."""
    if not path:
        return new
    copy = list(value) if isinstance(value, list) else dict(value)
    copy[path[0]] = replaced(copy[path[0]] if len(path) > 1 else None, path[1:], new)
    return copy


WRONG = {
    "config.json": [
        (("title",), None), (("report",), None), (("report", "averaged"), "x"), (("report", "headline"), "loss"),
        (("studies",), []), (("studies", "a"), None), (("studies", "a", "terms"), [{"name": "0"}]),
        (("studies", "../a"), {}), (("studies", "a", "scanned"), "x"), (("published",), [1]),
        (("published",), {"loss.a": {"value": "x"}}), (("config",), None), (("checkpoint_seconds",), "x"),
        (("data_dir",), 3), (("experiment",), None),
    ],
    "env.json": [(("libraries",), []), (("libraries", "jax"), 3), (("asked",), 1), (("asked", "config"), None)],
    "result.json": [
        (("quantities",), None), (("quantities",), [1]), (("quantities", 0, "mean"), "x"), (("findings",), [1]),
        (("quantities", 0, "n"), None), (("quantities", 0, "ci_low"), []), (("seconds",), "x"), (("findings",), None),
    ],
    "example_tasks/a.json": [
        (("x_values",), [1.0, 2.0]), (("target",), "x"), (("before", "said"), [1.0, 2.0]), (("after",), None),
        (("after", "spike_steps"), []), (("after", "voltages"), [1.0]), (("threshold",), "x"),
        (("actions",), [7]), (("contexts",), [[1.0]]),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("name", "path", "new"), [(name, *case) for name, cases in WRONG.items() for case in cases])
def test_wrong_types(name, path, new, folder, capsys):
    value = json.loads((folder / name).read_text())
    del value["checksum"]
    (folder / name).write_text(json.dumps(replaced(value, path, new)))
    assert name.split("/")[-1] in refuses("report", folder, capsys)
    if name in ("config.json", "env.json"):
        assert name in refuses("resume", folder, capsys)


def test_files_that_are_too_large_are_not_read(folder, capsys, monkeypatch):
    monkeypatch.setattr(schema, "LARGEST", 100)
    assert "config.json cannot be read: it has more than" in refuses("report", folder, capsys)


RULE = {
    "name": "mine", "summary": "A rule.", "terms": ["0"], "coefficients": [0.1], "ci_low": [0.0], "ci_high": [0.2],
    "feedback": "random", "provenance": {},
}  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "3", "{}", DEEP.decode(), '{"a":' * 5000 + "1" + "}" * 5000]
    + [
        json.dumps(RULE | change)
        for change in (
            {"name": None}, {"terms": "0"}, {"terms": [0]}, {"coefficients": ["x"]}, {"coefficients": None},
            {"coefficients": [[[0.1]]]}, {"ci_low": [[0.0]]}, {"provenance": []}, {"sharing": None}, {"wings": 2},
        )
    ],
)  # fmt: skip
def test_files_of_rules(text):
    LearnedRule.from_json(json.dumps(RULE))
    with pytest.raises(ValueError, match="not the file of a learned rule"):
        LearnedRule.from_json(text)
