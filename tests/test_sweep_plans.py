"""What a sweep is made of, what it costs, what it has found, and what is refused."""

import csv
import json
import os
import re
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

import wandering
from metaplax import experiments, reports
from metaplax.cli import main, tables
from metaplax.cli.parsing import UsageError
from metaplax.cli.sweep_options import read_options
from metaplax.experiments import ConfigError
from metaplax.runs import Interruption, RunFolder, RunFolderError
from metaplax.runs.sweep_folder import SweepFolder
from metaplax.sweeps import cores
from metaplax.sweeps.conducting import conduct, experiment_of
from metaplax.sweeps.grid import run_name

TRIALS = 3


def planned(*arguments: str) -> dict:
    return read_options(list(arguments))[0]


@pytest.fixture(scope="module")
def experiment(tmp_path_factory) -> str:
    return wandering.write(tmp_path_factory.mktemp("experiment"))


@pytest.fixture(scope="module")
def swept(experiment, tmp_path_factory) -> Path:
    """A sweep over two fields, whose last run is not there."""
    argv = sys.argv
    options = ("--scale", "0", "1", "--loud", "True", "False", "--seeds", "2", "--meta-steps", "3")
    folder = SweepFolder.begin(tmp_path_factory.mktemp("swept") / "sweep", planned(experiment, *options))
    for name in [*folder.plan["tasks"]][:-1]:
        assert conduct(folder, name, Interruption())["state"] == "finished"
    sys.argv = argv
    return folder.path


def test_fields_become_runs_of_every_kind_of_value():
    fields = ("--l1", "0", "1e-2", "--sizes", "784", "20", "47", "--sizes", "784", "30", "47", "--safeguards")
    plan = planned("quickstart", "--preset", "smoke", *fields, "--feedback", "direct", "--seeds", "2")
    assert plan["fields"] == {"sizes": [(784, 20, 47), (784, 30, 47)], "l1": [0.0, 0.01]}
    assert plan["config"]["safeguards"] is True, "it has one value"
    assert plan["config"]["feedback"] == "direct"
    assert len(plan["tasks"]) == 8
    name = "sizes=784_20_47,l1=0.01,seed=2"
    run = plan["tasks"][name]
    assert run == {"setting": {"sizes": (784, 20, 47), "l1": 0.01}, "seed": 2}
    given = experiment_of(SweepFolder("", plan), run)
    assert (given.sizes, given.l1, given.seed, given.meta_steps) == ((784, 20, 47), 0.01, 2, 4)
    assert planned("quickstart", "--no-safeguards")["config"]["safeguards"] is False
    assert [*planned("quickstart", "--seed", "3", "8")["tasks"]] == ["seed=3", "seed=8"]


@pytest.mark.parametrize("name", experiments.names())
def test_every_experiment_can_be_swept(name):
    plan = planned(name, "--trials", "2", "3")
    assert [*plan["tasks"]] == [f"trials={n},seed={plan['seeds'][0]}" for n in (2, 3)]


def test_values_in_turn():
    plan = planned("quickstart", "--l1", "0", "1", "--held-out", "2", "3", "--zip", "--shots", "4")
    assert [run["setting"] for run in plan["tasks"].values()] == [{"l1": 0, "held_out": 2}, {"l1": 1, "held_out": 3}]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--l2 0 1", "there is no option '--l2': did you mean '--l1'?"),
        ("--l1", "--l1 needs a value"),
        ("--l1 0 x", "Error parsing --l1"),
        ("--l1 0 0", "l1 has the value 0.0 twice"),
        ("--feedback direct sideways", "sideways"),
        ("--l1 0 1 --shots 1 2 3 --zip", "--zip needs as many values of every field, not 3 of shots, 2 of l1"),
        ("--zip --grid", "--grid and --zip exclude each other"),
        ("--seeds -1", "seeds must be from 0"),
        ("--seed 1 2 --seeds 3", "--seeds counts up from one --seed"),
        ("--gpu-share 2", "gpu_share is a part of a GPU"),
        ("--cores 0", "cores must be from 1"),
        ("--shots 1 0", "shots must be positive"),
        ("--seed 4294967290 --seeds 9", "seed must be in 0"),
        ("--l1 0 1 2 3 4 5 6 7 8 9 --seeds 99999", "a sweep has at most 100,000 runs"),
        ("--preset paperr", "did you mean 'paper'"),
    ],
)
def test_what_makes_no_sweep_is_said_in_a_sentence(options, sentence):
    with pytest.raises((UsageError, ConfigError), match=re.escape(sentence)):
        planned("quickstart", *options.split())


def test_the_command_line_says_so_too(tmp_path, capsys):
    out = tmp_path / "sweep"
    assert main(["sweep", "quickstart", "--l2", "0", "1", "--out", str(out)]) == 2
    assert main(["sweep", "quickstart", "--shots", "1", "--workers", "-1", "--out", str(out)]) == 2
    assert main(["sweep"]) == 2
    assert main(["sweep", "status", str(tmp_path)]) == 1
    assert "is not a sweep folder: it holds no sweep.json" in capsys.readouterr().err


def test_names_of_runs_are_those_of_files_and_differ():
    assert run_name({"word": "a/b"}, 1) != run_name({"word": "a:b"}, 1)
    assert "/" not in run_name({"word": "../../etc"}, 1)
    assert len(run_name({"word": "x" * 300}, 1)) < 200


def test_a_field_that_is_an_option_of_sweeps_is_refused(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(wandering.TEXT.replace("loud: bool = False", "cores: int = 1").replace("self.loud", "False"))
    with pytest.raises(UsageError, match="has a field that is an option of sweeps: rename cores"):
        planned(f"{path}:Wandering")


def test_another_sweep_in_the_same_folder_is_refused(experiment, tmp_path):
    plan = planned(experiment, "--scale", "1", "2")
    SweepFolder.begin(tmp_path / "sweep", plan)
    assert SweepFolder.begin(tmp_path / "sweep", plan).plan["seeds"] == [1], "the same one goes on"
    with pytest.raises(RunFolderError, match="holds another sweep, whose fields are not these"):
        SweepFolder.begin(tmp_path / "sweep", planned(experiment, "--scale", "1", "3"))
    with pytest.raises(RunFolderError, match="holds other files and is no sweep folder"):
        SweepFolder.begin(tmp_path, plan)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda text: text[:-9], "is damaged"),
        (lambda text: text.replace('"cores": 1', '"cores": 2'), "does not fit its checksum"),
        (lambda text: "[]", "it holds no object"),
        (lambda text: json.dumps({"experiment": "quickstart"}), "is damaged"),
        (lambda text: json.dumps(unsealed(text) | {"tasks": {"../x": {"setting": {}, "seed": 1}}}), "is damaged"),
        (lambda text: json.dumps(unsealed(text) | {"tasks": {"x": {"setting": {}, "seed": "one"}}}), "is damaged"),
    ],
)
def test_a_damaged_plan_is_refused_in_a_sentence(damage, sentence, experiment, tmp_path, capsys):
    path = SweepFolder.begin(tmp_path / "sweep", planned(experiment, "--scale", "1", "2")).path / "sweep.json"
    path.write_text(damage(path.read_text()))
    for command in (["sweep", "status"], ["report"], ["compare"]):
        assert main([*command, str(path.parent)]) == 1
        said = capsys.readouterr().err
        assert sentence in said
        assert said.count("\n") == 1


def unsealed(text: str) -> dict:
    return {name: value for name, value in json.loads(text).items() if name != "checksum"}


def test_a_setting_that_the_experiment_does_not_have_fails_that_run(experiment, tmp_path):
    folder = SweepFolder.begin(tmp_path / "sweep", planned(experiment, "--scale", "1", "2"))
    folder.plan["tasks"]["scale=1.0,seed=1"]["setting"] = {"scale": "much"}
    state = conduct(folder, "scale=1.0,seed=1", Interruption())
    assert state["state"] == "failed"
    assert "scale: Expected `float`, got `str`" in state["error"]


def test_a_linked_run_folder_is_left_alone(experiment, tmp_path):
    folder = SweepFolder.begin(tmp_path / "sweep", planned(experiment, "--scale", "1", "2"))
    (tmp_path / "foreign").mkdir()
    (folder.path / "scale=1.0,seed=1").symlink_to(tmp_path / "foreign")
    state = conduct(folder, "scale=1.0,seed=1", Interruption())
    assert (state["state"], "is a link" in state["error"]) == ("failed", True)
    assert not [*(tmp_path / "foreign").iterdir()]


def test_a_run_that_is_taken_is_not_begun_twice(experiment, tmp_path, monkeypatch):
    monkeypatch.setattr("metaplax.sweeps.conducting.PATIENCE", 0.1)
    folder = SweepFolder.begin(tmp_path / "sweep", planned(experiment, "--scale", "1", "2"))
    (folder.path / "scale=1.0,seed=1").mkdir()
    with RunFolder(folder.path / "scale=1.0,seed=1").writing():
        state = conduct(folder, "scale=1.0,seed=1", Interruption())
    assert (state["state"], "another process is writing" in state["error"]) == ("failed", True)


def test_the_table_of_a_sweep_pairs_seeds_and_trials(swept):
    found = reports.read_sweep(swept)
    assert [len(one.runs) for one in found.settings] == [2, 2, 2, 1]
    rows = found.rows("here")
    assert [row["quantity"]["n"] for row in rows] == [2 * TRIALS] * 3 + [TRIALS]
    assert [row["difference"] and row["difference"].n for row in rows] == [None, 2 * TRIALS, 2 * TRIALS, TRIALS]
    first, second = (RunFolder(swept / f"scale={x},loud=True,seed=1").rows() for x in ("0.0", "1.0"))
    differences = [b - a for a, b in zip(first[2]["accuracy"], second[2]["accuracy"], strict=True)]
    assert rows[2]["difference"].paired
    assert any(differences)
    assert "no best setting is named" in found.verdicts()[0]


def test_the_best_setting_is_chosen_on_validation_data_only(swept):
    found = reports.read_sweep(swept)
    found.folder.plan["validation"] = ["accuracy"]
    means = [found.mean(one, "here") for one in found.settings]
    best = found.settings[means.index(max(means))]
    assert found.best("here") is best
    assert found.verdicts()[0].startswith(f"best for here by accuracy on validation data: {best.label}")
    assert planned("zucchet2022/metaopt-mnist")["validation"] == ["accuracy", "loss"]
    assert planned("quickstart")["validation"] == []


def test_what_is_on_validation_data_in_some_settings_only_is_not_used(experiment):
    assert planned(experiment, "--loud", "True")["validation"] == ["accuracy"]
    assert planned(experiment, "--loud", "True", "False")["validation"] == []


def test_the_report_leads_to_every_run(swept, tmp_path, capsys):
    assert main(["report", str(swept), "--out", str(tmp_path / "elsewhere.html")]) == 0
    page = (tmp_path / "elsewhere.html").read_text()
    targets = {(tmp_path / unquote(link)).resolve() for link in re.findall(r'href="([^"#]*report\.html)"', page)}
    assert targets == {path.resolve() for path in swept.glob("*,seed=*/report.html")}
    assert len(targets) == 7
    assert page.count("<svg") == 2, "a heat map for each arm"
    assert "1 of 8 runs are not finished" in page
    capsys.readouterr()
    assert main(["compare", str(swept), "--json"]) == 0
    assert [*json.loads(capsys.readouterr().out)["studies"]] == ["here", "there"]
    assert main(["compare", str(swept)]) == 0
    assert "difference to the reference" in capsys.readouterr().out
    assert main(["compare", str(swept), str(swept)]) == 2
    assert main(["report", str(swept), str(swept)]) == 2


def test_the_csv_has_a_line_for_every_run_and_quantity(swept):
    reports.write_sweep(swept)
    with (swept / "sweep.csv").open() as stream:
        rows = [*csv.DictReader(stream)]
    assert [*rows[0]] == ["run", "scale", "loud", "seed", *["quantity", "mean", "ci_low", "ci_high", "n", "unit"]]
    run = reports.read(swept / "scale=1.0,loud=False,seed=1")
    lines = [row for row in rows if row["run"] == "scale=1.0,loud=False,seed=1"]
    assert {row["quantity"]: float(row["mean"]) for row in lines} == {n: q["mean"] for n, q in run.quantities.items()}
    assert {(row["scale"], row["loud"], row["seed"]) for row in lines} == {("1.0", "False", "1")}


def test_what_a_sweep_costs(experiment, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("metaplax.sweeps.cores.take", lambda *_: None)
    monkeypatch.chdir(tmp_path)
    options = ("--scale", "1", "2", "--seeds", "3", "--meta-steps", "200", "--dry-run", "--json")
    assert main(["sweep", experiment, *options, "--workers", "2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["runs"], found["settings"], found["settings_timed"], found["studies_not_timed"]) == (6, 2, 2, [])
    assert 0 < found["hours"] == found["cpu_hours"] / 2 < 1
    assert 1e-4 < found["disk_gb"] < 0.1
    assert not [*tmp_path.iterdir()], "nothing is begun"
    assert main(["sweep", experiment, *options[:-1]]) == 0
    assert "2 of 2 settings were timed" in capsys.readouterr().out


def test_what_a_search_costs(experiment, monkeypatch, capsys):
    monkeypatch.setattr("metaplax.sweeps.cores.take", lambda *_: None)
    space = ("--scale", "1", "2", "--search", "optuna", "--maximise", "accuracy.here", "--settings", "7")
    assert main(["sweep", experiment, *space, "--seeds", "2", "--meta-steps", "3", "--dry-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["runs"], found["settings"], found["seeds"], found["settings_timed"]) == (14, 7, 2, 2)
    assert found["cpu_hours"] > 0


def test_what_is_not_counted_is_said():
    shown = tables.estimate(
        {"runs": 1, "settings": 1, "seeds": 1, "settings_timed": 1, "cpu_hours": 1.0, "hours": 1.0, "workers": 1}
        | {"disk_gb": 1.0, "studies_not_timed": ["pool.transfer"]}
    )
    assert "NOT COUNTED in hours and disk: pool.transfer, which" in str(shown.caption)


def test_workers_take_different_cores(monkeypatch, tmp_path):
    taken = []
    monkeypatch.setattr(cores, "gpus", lambda: [])
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: {3, 5, 8}, raising=False)
    monkeypatch.setattr(cores.os, "sched_setaffinity", lambda _, which: taken.append([*which]), raising=False)
    monkeypatch.setattr(cores, "_leases", [])
    monkeypatch.setattr(cores.tempfile, "gettempdir", lambda: str(tmp_path))
    for _ in range(3):
        cores.take.__wrapped__(1, 1.0)
    assert taken == [[3], [5], [8]]
    cores.take.__wrapped__(2, 1.0)
    assert len({*taken[3]} & {3, 5, 8}) == 2, "as many as asked for, though all are taken"
    for lease in cores._leases:
        lease.release()


def test_workers_share_gpus(monkeypatch, tmp_path):
    monkeypatch.setattr(cores, "gpus", lambda: ["0", "GPU-1"])
    monkeypatch.setattr(cores, "_leases", [])
    monkeypatch.setattr(cores.tempfile, "gettempdir", lambda: str(tmp_path))
    for name in ("CUDA_VISIBLE_DEVICES", "XLA_PYTHON_CLIENT_MEM_FRACTION"):
        monkeypatch.setenv(name, "")
    found = []
    for _ in range(4):
        cores.take.__wrapped__(1, 0.5)
        found.append((os.environ["CUDA_VISIBLE_DEVICES"], os.environ["XLA_PYTHON_CLIENT_MEM_FRACTION"]))
    assert found == [("0", "0.450"), ("GPU-1", "0.450")] * 2
    assert cores.workers(1, 0.5) == 4
    for lease in cores._leases:
        lease.release()


def test_a_report_that_cannot_be_written_is_said(swept, tmp_path, capsys):
    out = Path(shutil.copytree(swept, tmp_path / "sweep"))
    (out / "scale=1.0,loud=True,seed=1" / "metrics.jsonl").write_text("damaged\n\n")
    assert main(["sweep", "resume", str(out)]) == 1
    assert "the report of the sweep cannot be written: " in capsys.readouterr().err
