"""The wheel holds all that the package needs, and runs without the packages of any extra."""

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = {
    "cuda12": {"jax_cuda12_plugin"}, "evolution": {"evosax"}, "nwb": {"pynwb"}, "search": {"optuna"},
    "slurm": {"submitit"},
    "sweep": {"ray"}, "theory": {"sklearn"}, "torch": {"torch"}, "tracking": {"tensorboardX", "wandb"},
}  # fmt: skip
"""What is imported of every extra."""
RUN = """
import json, runpy, sys
import metaplax
imported = sorted({name.partition(".")[0] for name in sys.modules})
script, sys.argv = sys.argv[1], sys.argv[1:]
try:
    runpy.run_path(script, run_name="__main__")
except SystemExit as done:
    code = done.code
run = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps({"file": metaplax.__file__, "imported": imported, "code": code, "run": run}))
"""


def call(*command: object, cwd: Path) -> str:
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=cwd, env=own)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("wheel")
    call(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", place, cwd=ROOT)
    (found,) = place.glob("*.whl")
    return found


def test_all_files_of_the_package_are_in_the_wheel(wheel):
    package = ROOT / "src"
    ours = {path.relative_to(package).as_posix() for path in (package / "metaplax").rglob("*") if path.is_file()}
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == {name for name in ours if "__pycache__" not in name}
    assert "metaplax/py.typed" in held


def test_the_description_leads_to_nothing_that_only_a_checkout_has(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("dist-info/METADATA"))
        description = archive.read(name).decode()
    assert "# metaplax" in description
    assert "mp.meta_train(" in description
    assert "<!--" not in description
    assert re.findall(r"\]\((?!https?:)[^)]*\)", description) == []


def test_every_extra_is_one_that_is_known():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["optional-dependencies"].keys() == EXTRAS.keys()


def test_the_wheel_runs_and_imports_nothing_of_the_extras(wheel, tmp_path):
    venv = tmp_path / "venv"
    call(sys.executable, "-m", "venv", "--without-pip", venv, cwd=tmp_path)
    python, script = venv / "bin" / "python", venv / "bin" / "metaplax"
    call(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=tmp_path)
    # Everything but the package itself comes from where these tests run. What is listed in a file of paths is searched
    # last, and further such files in there are not read, so that an editable installation is not found.
    packages = call(python, "-c", "import site; print(site.getsitepackages()[0])", cwd=tmp_path).strip()
    Path(packages, "others.pth").write_text(str(Path(np.__file__).parents[1]), encoding="utf-8")
    arguments = ("run", "quickstart", "--preset", "smoke", "--out", tmp_path / "runs")
    said = json.loads(call(python, "-c", RUN, script, *arguments, cwd=tmp_path).splitlines()[-1])
    assert Path(said["file"]).is_relative_to(packages)
    assert said["code"] in (0, None)
    assert len(list((tmp_path / "runs").glob("quickstart-*/result.json"))) == 1
    extras = set().union(*EXTRAS.values())
    assert not extras & set(said["imported"])
    assert not extras & set(said["run"])
