"""What may differ between a run and its resumption: nothing but more meta-steps, where these change nothing else."""

import json
import shutil
from dataclasses import replace

import jax
import optax
import pytest

import counting
import metaplax as mp
import small
from metaplax import experiments, reports
from metaplax.cli import main
from metaplax.experiments import ConfigError, MetaTraining, RunOptions
from metaplax.optim import hard_threshold, polyak_average
from metaplax.runs import Interrupted, RunFolder, RunFolderError

known = counting.known


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of four meta-steps."""
    return counted(tmp_path_factory.mktemp("runs"))


def counted(out, **fields):
    return experiments.run(counting.Counting(**fields), RunOptions(out=out, checkpoint_seconds=0.0))


@pytest.fixture
def folder(finished, tmp_path):
    return RunFolder(shutil.copytree(finished.path, tmp_path / "copy"))


def edit(folder: RunFolder, **fields) -> None:
    """Change the configuration as a user does, by hand."""
    path = folder.path / "config.json"
    config = json.loads(path.read_text())
    config["config"] |= {name: value for name, value in fields.items() if name in config["config"]}
    config |= {name: value for name, value in fields.items() if name not in config["config"]}
    if fields.keys() - config["config"].keys():
        del config["checksum"]
    path.write_text(json.dumps(config))


def outcome(folder: RunFolder) -> dict:
    clocks = {"seconds", "cpu_seconds"}
    rows = [{name: value for name, value in row.items() if name not in clocks} for row in folder.rows()]
    quantities = folder.read_json("result.json")["quantities"]
    return {
        "rows": sorted(rows, key=lambda row: (row["study"], row["step"])),
        "quantities": {q["name"]: q for q in quantities if not q["name"].startswith("cpu_seconds")},
    }


def contents(folder: RunFolder) -> dict[str, bytes]:
    files = (path for path in folder.path.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder.path)): path.read_bytes() for path in files}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"meta_steps": 3}, "4 steps of study 'a' in .* are done already, more than 3"),
        ({"rate": 2.0}, r"config\.json belongs to another study: rate is 2\.0, but the run was started with 1\.0"),
        ({"trials": 3}, "belongs to another study: trials is 3, but the run was started with 2"),
        ({"experiment": "other-counting"}, "belongs to another study: the run was started as 'counting'"),
        ({"experiment": "quickstart"}, "does not describe an experiment of this version"),
        ({"meta_steps": "5"}, r"meta_steps: Expected `int`, got `str`"),
        ({"meta_steps": None}, r"meta_steps: Expected `int`, got `null`"),
        ({"trials": 2.5}, r"trials: Expected `int`"),
    ],
)
def test_another_configuration_is_refused_and_nothing_is_lost(fields, message, folder):
    edit(folder, **fields)
    before = contents(folder)
    with pytest.raises(RunFolderError, match=message):
        experiments.resume(folder.path)
    assert contents(folder) == before


def test_a_run_is_extended_on_the_command_line(folder, tmp_path, capsys):
    assert main(["resume", str(folder.path), "--more-meta-steps", "3"]) == 0
    assert outcome(folder) == outcome(counted(tmp_path, meta_steps=7))
    assert folder.config()["config"]["meta_steps"] == 7
    capsys.readouterr()
    assert main(["resume", str(folder.path)]) == 0, "it is one of seven meta-steps now"


def test_a_meta_trained_run_is_extended_bit_for_bit(tmp_path):
    runs = [
        experiments.run(replace(experiments.preset("quickstart", "smoke"), meta_steps=steps), RunOptions(out=tmp_path))
        for steps in (2, 4)
    ]
    short, long = (outcome(run) for run in runs)
    assert short != long
    assert main(["resume", str(runs[0].path), "--more-meta-steps", "2"]) == 0
    assert outcome(runs[0]) == long


def test_a_run_is_extended_in_its_configuration(folder, tmp_path):
    edit(folder, meta_steps=7)
    assert outcome(experiments.resume(folder.path)) == outcome(counted(tmp_path, meta_steps=7))


def test_an_extension_that_is_stopped_goes_on(folder, tmp_path):
    class AtOnce(mp.runs.Interruption):
        requested = "SIGTERM"

    with pytest.raises(Interrupted):
        experiments.resume(folder.path, more_meta_steps=3, interruption=AtOnce())
    assert not (folder.path / "result.json").exists(), "what it says is no longer true"
    assert reports.read(folder.path).taken["a"][-1] == 4
    assert outcome(experiments.resume(folder.path)) == outcome(counted(tmp_path, meta_steps=7))


def test_an_extension_that_changes_what_steps_do_is_refused(tmp_path, capsys):
    folder = counted(tmp_path, halved=True)
    before = contents(folder)
    assert main(["resume", str(folder.path), "--more-meta-steps", "3"]) == 1
    assert "what its steps do depends on their number; start another run" in capsys.readouterr().err
    assert contents(folder) == before
    assert main(["resume", str(folder.path), "--more-meta-steps", "-3"]) == 2
    assert "counting cannot have -3 more meta-steps" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("optimizer", "depends"),
    [
        (lambda steps: optax.adam(1e-3), False),
        (lambda steps: optax.chain(optax.clip(1.0), optax.sgd(1e-2, momentum=0.9)), False),
        (lambda steps: optax.adam(optax.exponential_decay(1e-3, 100, 0.9)), False),
        (lambda steps: optax.adam(optax.cosine_decay_schedule(1e-3, steps)), True),
        (lambda steps: optax.sgd(optax.piecewise_constant_schedule(1e-3, {steps // 2: 0.1})), True),
        (lambda steps: optax.chain(optax.adam(1e-3), polyak_average(steps // 2)), True),
        (lambda steps: optax.chain(optax.adam(1e-3), hard_threshold(1, steps // 6, steps // 2)), True),
    ],
    ids=["adam", "sgd", "decay", "cosine", "piecewise", "average", "selection"],
)
def test_schedules_that_depend_on_the_number_of_meta_steps(optimizer, depends):
    learner = small.learner("random", mp.rules.f_bio())
    short, long = (
        MetaTraining(learner, small.Blobs(), mp.estimators.Checkpointed(), optimizer(steps), steps).schedule
        for steps in (60, 120)
    )
    assert (short != long) == depends


def test_experiments_without_meta_steps_cannot_have_more(tmp_path):
    with pytest.raises(ConfigError, match="zucchet2022/error-bound cannot have 2 more meta-steps"):
        experiments.stored_config.extend(
            counted(tmp_path), experiments.lookup("zucchet2022/error-bound")(), 2, lambda one: {}
        )


def test_compilation_that_is_disabled_is_a_sentence(tmp_path, capsys):
    with jax.disable_jit():
        assert main(["run", "counting", "--out", str(tmp_path)]) == 2
        assert "unset JAX_DISABLE_JIT" in capsys.readouterr().err
        with pytest.raises(mp.learners.IncompatibleError, match="compilation is disabled"):
            mp.training.choose_layout(1)
