"""``import metaplax`` loads only what every program needs."""

import subprocess
import sys

import pytest

HEAVY = {
    "matplotlib", "orbax", "PIL", "requests", "pooch", "tqdm", "jinja2", "tyro", "optimistix", "metaplax.experiments",
}  # fmt: skip


@pytest.mark.parametrize("then", ["", "; mp.experiments.names(); mp.experiments.preset('quickstart', 'smoke')"])
def test_heavy_packages_are_not_imported(then):
    code = f"import sys, metaplax as mp{then}; print(*[name for name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert loaded & (HEAVY - ({"metaplax.experiments"} if then else set())) == set()


def test_what_is_loaded_on_demand_is_there():
    code = "import metaplax as mp; print(mp.reports.write.__name__, mp.experiments.run.__name__, hasattr(mp, 'x'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["write", "run", "False"]
