"""Two virtual CPU devices, shapes checked at every call, no silent broadcasting of ranks, shared programs."""

from jaxtyping import install_import_hook

with install_import_hook("metaplax", "beartype.beartype"):
    # Those are loaded on demand otherwise, which would be after the hook.
    import metaplax.cli.commands
    import metaplax.experiments
    import metaplax.reports  # noqa: F401

import os
import shutil
import tempfile
from pathlib import Path

import jax
import numpy as np
import pytest
import requests

import own
import wandering
from metaplax.cli import main
from metaplax.runs import compilation_cache

if compilation_cache.VARIABLE not in os.environ:
    # Programs compiled without optimisation are not for the user's cache. Workers are told of this one by their parent.
    COMPILED = tempfile.TemporaryDirectory(prefix="metaplax-tests-")
    os.environ[compilation_cache.VARIABLE] = COMPILED.name
compilation_cache.LEAST_SECONDS = 0.1
compilation_cache.use_compilation_cache()
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_rank_promotion", "raise")
# Compiling takes most of the time of the tests; their arrays are small. Up to version 0.10 XLA has an older way of
# writing loops, which compiles twice as fast, though what it writes is slower.
jax.config.update("jax_disable_most_optimizations", True)
if jax.__version_info__ < (0, 11):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_use_fusion_emitters=false"

QUICK = {
    "architecture", "class_split", "data_checks", "differences", "discover", "import", "intervals", "library",
    "old_run_folders", "optimizers", "penalties", "presets", "private_jax", "rules", "run_folder", "targets", "terms",
    "trials", "updates",
}  # fmt: skip
"""Modules whose tests are marked ``quick``: what most changes break first."""

SHARED = Path(os.environ.get("METAPLAX_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.stem.removeprefix("test_") in QUICK:
            item.add_marker(pytest.mark.quick)


@pytest.fixture(autouse=True, scope="module")
def _forget_programs():
    """The programs of all modules together would take gigabytes; those that are needed again are in the cache."""
    yield
    jax.clear_caches()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run of an experiment of one's own."""
    place = tmp_path_factory.mktemp("finished")
    name = f"{own.write(place)}:Mine"
    assert main(["run", name, "--upto", "2", "--checkpoint-seconds", "0", "--out", str(place / "runs")]) == 0
    return next((place / "runs").iterdir())


@pytest.fixture
def run(finished, tmp_path):
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory):
    """A finished sweep that nothing has disturbed."""
    place = tmp_path_factory.mktemp("unbroken")
    assert main(["sweep", wandering.write(place), *wandering.VALUES, "--out", str(place / "sweep")]) == 0
    return place / "sweep"


def golden_numbers(name: str) -> dict:
    """Numbers computed by other programs; the test is skipped where they are not there."""
    path = SHARED / "golden" / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"there are no golden numbers in {path.parent}")
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


@pytest.fixture
def x64():
    """Double precision for one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real image files, if they are there."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"there are no image files in {folder}")
    return folder


@pytest.fixture
def offline(tmp_path_factory, monkeypatch) -> Path:
    """An empty cache for downloads, no web, and no data folder from the environment."""
    cache = tmp_path_factory.mktemp("cache")

    def refuse(*_, **__):
        raise requests.ConnectionError("no web in tests")

    monkeypatch.setattr("pooch.os_cache", lambda name: cache / name)
    monkeypatch.setattr("pooch.retrieve", refuse)
    monkeypatch.delenv("METAPLAX_DATA", raising=False)
    return cache


@pytest.fixture
def few_glyphs(monkeypatch):
    """Twelve images per character, in the place of the built-in data."""
    from metaplax.data import glyphs  # after the import hook

    few = glyphs(12)
    monkeypatch.setattr("metaplax.data.catalog.glyphs", lambda: few)
    return few
