"""The command line as a user meets it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from metaplax.cli import main
from metaplax.runs import RunFolder

BOTH = ["report", "resume"]
TINY = ("--preset", "smoke", "--meta-steps", "2", "--sizes", "784", "8", "47")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two finished runs of different rules."""
    out = tmp_path_factory.mktemp("runs")
    assert main(["run", "shervani2023/fig3", "--data", "glyphs", *TINY, "--out", str(out / "a")]) == 0
    assert main(["run", "shervani2023/fig3", "--data", "glyphs", *TINY, "--seed", "2", "--out", str(out / "b")]) == 0
    return [next((out / name).iterdir()) for name in "ab"]


BAD_INPUT = [
    (["rn"], "no verb 'rn': did you mean 'run'?"),
    (["run"], "which experiment? There are quickstart, "),
    (["run", "quikstart"], "no experiment 'quikstart': did you mean 'quickstart'"),
    (["run", "shervani2023/fig4x"], "did you mean 'shervani2023/fig"),
    (["run", "quickstart", "--meta-step", "3"], "no option '--meta-step': did you mean '--meta-steps'?"),
    (["run", "quickstart", "--meta-steps", "many"], "Error parsing --meta-steps: invalid literal for int()"),
    (["run", "quickstart", "--feedback", "randm"], "did you mean 'random'?"),
    (["run", "quickstart", "--preset", "smok"], "no preset 'smok': did you mean 'smoke'"),
    (["run", "quickstart", "--preset", "smoke", "--preset", "quik"], "no preset 'quik': did you mean 'quick'"),
    (["run", "quickstart", "--meta-gradient-clip", "inf"], "meta_gradient_clip must be a finite number, not inf"),
    (["run", "quickstart", "--l1", "nan"], "l1 must be a finite number, not nan"),
    (["run", "quickstart", "--checkpoint-seconds", "inf"], "checkpoint_seconds must be a number of seconds"),
    (["run", "quickstart", "--seed", "99999999999999999999"], "seed must be in 0 ... 4294967295"),
    (
        ["run", "quickstart", "--sizes", "784", "3000000000", "47"],
        "sizes must be at most 1000000000, but is 3000000000",
    ),
    (["run", "quickstart", "--preset", "fast"], "no preset 'fast': there are smoke, quick, paper"),
    (["run", "quickstart", "--preset"], ""),
    (["run", "quickstart", "extra"], "'extra' was not expected"),
    (["run", "quickstart", "--meta-steps", "-3"], "meta_steps must be positive, not -3"),
    (["run", "quickstart", "--trials", "0"], "trials must be positive, not 0"),
    (["run", "quickstart", "--shots", "-1"], "shots must be positive, not -1"),
    (["run", "quickstart", "--l1", "-1"], "l1 must not be negative"),
    (["run", "quickstart", "--sizes", "784"], "sizes needs at least two layers"),
    (["run", "quickstart", "--sizes", "784", "-5", "47"], "sizes needs at least two layers"),
    (["run", "quickstart", "--sizes", "700", "9", "47"], "takes a support set of shape (examples, 700)"),
    (["run", "quickstart", "--sizes", "784", "9", "10"], "the task has 47 classes, but the network 10 outputs"),
    (["run", "quickstart", "--shots", "195"], "205 different images of a class, but glyphs has only 200 images"),
    (["run", "quickstart", "--ways", "48"], "glyphs has 47 classes, too few for 48"),
    (["run", "quickstart", "--data", "glyfs"], "no data set 'glyfs': did you mean 'glyphs'"),
    (["run", "quickstart", "--data-dir", "/no/such/place", "--data", "mnist"], "does not exist or is not a folder"),
    (["run", "quickstart", "--estimator", "forward", "--sharing", "synapse"], "use Reverse or Checkpointed"),
    (["resume"], ""),
    (["report"], "which run folder?"),
    (["compare", "a"], ""),
    (["data", "fetch"], "which data set?"),
    (["data", "lst"], "did you mean 'list'?"),
    (["data", "list", "emnits"], "no data set 'emnits': did you mean 'emnist'?"),
]


@pytest.mark.parametrize(("arguments", "sentence"), BAD_INPUT, ids=[" ".join(a) for a, _ in BAD_INPUT])
def test_bad_input_is_one_sentence_and_exit_code_2(arguments, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("metaplax: ")
    assert said.err.count("\n") == 1
    assert sentence in said.err
    assert not list(tmp_path.iterdir()), "nothing is written for what cannot run"


@pytest.mark.parametrize("verb", ["resume", "report"])
def test_what_is_no_run_folder(verb, tmp_path, capsys):
    assert main([verb, str(tmp_path)]) == 1
    assert "is not a run folder" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_and_version(arguments, capsys):
    assert main(arguments) == 0
    assert capsys.readouterr().out


def test_help_of_an_experiment_lists_its_fields(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["run", "quickstart", "--help"])
    assert caught.value.code == 0
    said = capsys.readouterr().out
    for option in ("--meta-steps", "--trials", "--seed", "--data-dir", "--out", "--meta-learning-rate", "--feedback"):
        assert option in said


def test_list(capsys, monkeypatch):
    assert main(["list", "--json"]) == 0
    names = [entry["name"] for entry in json.loads(capsys.readouterr().out)]
    shervani = (
        "fig1", "fig3", "fig4", "fig4-path", "fig5", "table1", "fig6", "fig7", "fig8", "figS1", "figS2", "figS5",
        "figS1-searched", "variants", "generalisation", "discover",
    )  # fmt: skip
    lindsey = (
        "regression-iid", "regression-continual", "omniglot-iid", "omniglot-continual", "ablations", "interference",
        "hidden-feedback", "fresh-start",
    )  # fmt: skip
    zucchet = (
        "error-bound", "metaopt-mnist", "metaopt-cifar10", "spiking-sinusoid", "spiking-pattern", "fewshot-omniglot",
        "fewshot-miniimagenet", "wheel-bandit",
    )  # fmt: skip
    tyulmankov = ("familiarity", "curriculum", "closed-form", "terms")
    papers = {"shervani2023": shervani, "lindsey2020": lindsey, "zucchet2022": zucchet}
    papers |= {"miconi2017": ("dnms", "gradient"), "maoutsa2025": ("dnms",), "tyulmankov2022": tyulmankov}
    papers["mehta2024"] = ("oja", "oja-grid", "choices")
    published = (f"{paper}/{name}" for paper, names in papers.items() for name in names)
    assert names == [
        "quickstart",
        *published,
        "compare-estimators",
        "sampled-actions",
        "long-inner-loop",
        "leaderboard",
    ]
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    words = {word for line in lines for word in line.split()}
    assert {name.rpartition("/")[2] for name in names} | {f"{paper}/" for paper in papers} <= words


def test_data(capsys):
    assert main(["data", "list", "--json"]) == 0
    states = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert states["glyphs"]["state"] == "ready"
    assert main(["data", "verify", "glyphs"]) == 0
    assert "glyphs" in capsys.readouterr().out


def test_a_run_leaves_what_the_contract_says(runs, capsys):
    folder = runs[0]
    assert folder.name.startswith("shervani2023-fig3-")
    for name in ("config.json", "env.json", "metrics.jsonl", "result.json", "report.html", "checkpoints", "figures"):
        assert (folder / name).exists(), name
    result = json.loads((folder / "result.json").read_text())
    assert result["experiment"] == "shervani2023/fig3"
    assert result["preset"] == "smoke"
    assert result["data"] == "glyphs"
    quantities = {q["name"]: q for q in result["quantities"]}
    assert {"accuracy.bp", "accuracy.fa", "loss.fa", "theta0.bp", "angle1.fa", "masked.fa"} <= quantities.keys()
    accuracy = quantities["accuracy.bp"]
    assert accuracy.keys() == {
        "name",
        "mean",
        "ci_low",
        "ci_high",
        "n",
        "unit",
        "published",
        "published_source",
        "values",
    }
    assert accuracy["n"] == 2
    assert accuracy["published"] == 0.70
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [(row["study"], row["step"]) for row in rows] == [(r, s) for r in ("bp", "fa") for s in range(3)]
    assert sum(accuracy["values"]) / 2 == pytest.approx(accuracy["mean"])
    mean = sum(sum(row["accuracy"]) for row in rows if row["study"] == "bp" and "accuracy" in row) / 4
    assert accuracy["mean"] == pytest.approx(mean)
    assert quantities["theta0.bp"]["mean"] == pytest.approx(sum(rows[2]["theta0"]) / 2)


def test_resuming_a_finished_run_changes_nothing(runs, capsys):
    before = json.loads((runs[0] / "result.json").read_text())["quantities"]
    assert main(["resume", str(runs[0]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["quantities"] == before


def test_a_finished_run_does_not_need_its_checkpoints(runs, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(runs[0], copy, ignore=shutil.ignore_patterns("checkpoints"))
    rows = (copy / "metrics.jsonl").read_text()
    assert main(["resume", str(copy)]) == 0
    assert (copy / "metrics.jsonl").read_text() == rows


def test_checkpoints_of_another_configuration_are_refused(runs, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(runs[0], copy)
    lines = (copy / "metrics.jsonl").read_text().splitlines()
    (copy / "metrics.jsonl").write_text("\n".join(line for line in lines if '"final"' not in line) + "\n")
    config = json.loads((copy / "config.json").read_text())
    config["config"]["meta_learning_rate"] = 0.5
    (copy / "config.json").write_text(json.dumps(config))
    assert main(["resume", str(copy)]) == 1
    said = capsys.readouterr().err
    assert "belongs to another study" in said
    assert "0.5" in said


def test_fewer_steps_than_were_done_are_refused(runs, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(runs[0], copy)
    config = json.loads((copy / "config.json").read_text())
    config["config"]["meta_steps"] = 1
    (copy / "config.json").write_text(json.dumps(config))
    rows = (copy / "metrics.jsonl").read_text()
    assert main(["resume", str(copy)]) == 1
    assert "2 steps of study 'bp'" in capsys.readouterr().err
    assert (copy / "metrics.jsonl").read_text() == rows


def test_a_second_process_is_refused(runs, capsys):
    with RunFolder(runs[0]).writing():
        assert main(["resume", str(runs[0])]) == 1
    assert "another process is writing to" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("verbs", "name", "content", "message"),
    [
        (BOTH, "config.json", b"{}", "is not that of a run: it has no checkpoint_seconds, config"),
        (BOTH, "config.json", b"[]", "holds no object"),
        (BOTH, "config.json", b"\xff", "is damaged"),
        (BOTH, "metrics.jsonl", b'{"a": 1}\n{"study": "bp", "step": 0}\n', "line 1 of"),
        (["report"], "result.json", b"[]", "holds no object"),
    ],
)
def test_files_of_the_wrong_shape_are_a_sentence(verbs, name, content, message, runs, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(runs[0], copy)
    (copy / name).write_bytes(content)
    for verb in verbs:
        assert main([verb, str(copy)]) == 1
        assert message in capsys.readouterr().err.splitlines()[-1]


def test_a_read_only_place_is_a_sentence(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["run", "quickstart", *TINY, "--out", str(tmp_path / "file")]) == 1
    assert "cannot be written: Not a directory" in capsys.readouterr().err


def test_as_released_runs(tmp_path):
    arguments = ["run", "shervani2023/fig3", "--data", "glyphs", *TINY, "--as-released", "--out", str(tmp_path)]
    assert main(arguments) == 0
    (folder,) = tmp_path.iterdir()
    assert json.loads((folder / "config.json").read_text())["config"]["as_released"] is True


def test_compare(runs, capsys):
    assert main(["compare", *map(str, runs), "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    row = rows["loss.fa"]
    assert row["difference"] == pytest.approx(row["second"]["mean"] - row["first"]["mean"])
    assert row["difference"] != 0
    assert main(["compare", *map(str, runs)]) == 0
    assert "accuracy.bp" in capsys.readouterr().out


def test_report_of_several_runs(runs, tmp_path, capsys):
    assert main(["report", *map(str, runs), "--out", str(tmp_path / "both.html")]) == 0
    page = (tmp_path / "both.html").read_text()
    assert all(run.name in page for run in runs)


def test_other_data_than_before_are_refused(runs, capsys):
    config = RunFolder(runs[1]).config()
    RunFolder(runs[1]).write_json("config.json", config | {"data_sha256": "0"})
    try:
        assert main(["resume", str(runs[1])]) == 1
        assert "are not the same as when" in capsys.readouterr().err
    finally:
        RunFolder(runs[1]).write_json("config.json", config)


def test_a_config_of_another_version_is_refused(runs, capsys):
    config = json.loads((runs[1] / "config.json").read_text())
    try:
        (runs[1] / "config.json").write_text(json.dumps(config | {"config": {"wings": 2}}))
        assert main(["resume", str(runs[1])]) == 1
        assert "does not describe an experiment of this version" in capsys.readouterr().err
    finally:
        (runs[1] / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_a_stopped_run_says_so_and_can_be_resumed(number, tmp_path):
    arguments = ("shervani2023/figS2", "--data", "glyphs", *TINY, "--meta-steps", "100000", "--out", str(tmp_path))
    command = [sys.executable, "-m", "metaplax", "run", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 240
    while not list(tmp_path.glob("*/metrics.jsonl")) and time.monotonic() < deadline:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    process.send_signal(number)
    _, said = process.communicate(timeout=240)
    assert process.returncode == 130
    assert f"stopped by {number.name} after meta-step" in said.splitlines()[-1]
    assert f"go on with: metaplax resume {next(tmp_path.iterdir())}" in said.splitlines()[-1]
    (folder,) = tmp_path.iterdir()
    done = int(said.splitlines()[-1].split("meta-step ")[1].split(";")[0])
    assert (folder / "metrics.jsonl").read_text().count("\n") == done
    assert (folder / "checkpoints" / "f_bio" / str(done)).is_dir()


def test_killed_and_resumed_equals_unbroken(tmp_path):
    script = os.path.join(os.path.dirname(__file__), "..", "scripts", "kill_and_resume.py")
    done = subprocess.run([sys.executable, script, "--times", "1", "--seed", "4"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 resumed runs are equal" in done.stdout
