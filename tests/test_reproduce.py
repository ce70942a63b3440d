"""``make reproduce``: its manifest covers what is kept, and runs are found, resumed or begun."""

import json
import shutil
import tomllib

import pytest

from metaplax.runs import RunFolder, environment
from scripts import collect_result, reproduce
from scripts.kept_results import SpecError, names


def test_every_kept_result_is_in_the_manifest():
    assert sorted(reproduce.manifest()) == names()


@pytest.mark.parametrize("name", names())
def test_every_command_gives_a_configuration(name):
    entry = reproduce.manifest()[name]
    assert entry.keys() <= {"runs", "then", "needs", "superseded"}
    assert ("runs" in entry) != ("superseded" in entry)
    for command in entry.get("runs", ()):
        assert reproduce.configuration(command)["trials"] >= 1
    assert all(command.startswith("metaplax evaluate {run} ") for command in entry.get("then", ()))


def test_the_list_has_a_line_for_every_result():
    head, *lines = reproduce.listing()
    assert head.split() == ["result", "commit", "day", "n", "hours", "configuration"]
    assert [line.split()[0] for line in lines] == list(reproduce.manifest())
    found = {line.split()[0]: line for line in lines}
    assert found["shervani2023-fig3-paper"].endswith("08e2475   2026-11-25  20   0.11  as today")
    assert (
        "older: average, dark_strokes, numbers, rate_factors, search_classes" in found["lindsey2020-omniglot-iid-quick"]
    )


def test_results_are_chosen_by_name_and_those_that_need_a_gpu_only_so():
    gpu = "zucchet2022-fewshot-omniglot-paper-cml"
    assert gpu not in reproduce.chosen([])
    assert list(reproduce.chosen([gpu])) == [gpu]
    for name in ("nothing", "zucchet2022-fewshot-omniglot-quick-wide-steeper"):
        with pytest.raises(SpecError, match="cannot be made"):
            reproduce.chosen([name])


@pytest.fixture
def called(monkeypatch):
    """The commands that would be called."""
    calls = []
    monkeypatch.setattr(reproduce, "call", lambda *arguments: calls.append(arguments))
    return calls


def test_a_run_is_begun_resumed_or_found(run, tmp_path, called):
    command, data = "metaplax run mine --preset smoke --data-dir DATA", tmp_path / "data"
    with pytest.raises(StopIteration):
        reproduce.conduct(command, tmp_path / "0", data)
    assert called == [("run", "mine", "--preset", "smoke", "--data-dir", str(data), "--out", str(tmp_path / "0"))]
    called.clear()
    folder = tmp_path / "1" / "mine"
    shutil.copytree(run, folder)
    env = RunFolder(folder).env() | {"commit": environment()["commit"]}
    RunFolder(folder).write_json("env.json", env)
    assert reproduce.conduct(command, tmp_path / "1", data) == folder
    assert called == []
    (folder / "result.json").unlink()
    assert reproduce.conduct(command, tmp_path / "1", data) == folder
    assert called == [("resume", str(folder), "--data-dir", str(data))]
    RunFolder(folder).write_json("env.json", env | {"commit": "0" * 40})
    with pytest.raises(SpecError, match="was run at 0000"):
        reproduce.conduct(command, tmp_path / "1", data)


def test_what_is_made_is_kept_with_the_values_of_its_trials(run, tmp_path, monkeypatch):
    monkeypatch.setattr(collect_result, "RESULTS", tmp_path)
    monkeypatch.setattr(reproduce, "conduct", lambda command, parent, data_dir: run)
    reproduce.make("mine", {"runs": ["metaplax run mine"]}, tmp_path, tmp_path)
    summary = json.loads((tmp_path / "mine.json").read_text())
    assert summary["intervals"] == "98 %"
    assert all(len(it["values"]) >= it["n"] for it in summary["quantities"] if it["n"] > 1)
    assert list((tmp_path / "figures").glob("mine-*.png"))


def test_the_manifest_is_toml_that_names_data_by_a_placeholder():
    text = reproduce.MANIFEST.read_text(encoding="utf-8")
    assert tomllib.loads(text)
    assert text.count("--data-dir") == text.count("--data-dir DATA")
