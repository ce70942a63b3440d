"""Results of meta-training as tables and figures."""

import re
import struct
import sys

import jax
import numpy as np
import optax
import pytest

import metaplax as mp
import small


@pytest.fixture(scope="module")
def result():
    learner = small.learner("random", mp.rules.f_bio())
    return mp.meta_train(
        learner, small.Blobs(), mp.estimators.Reverse(), optax.adam(1e-3), 3, key=jax.random.key(0), trials=2
    )  # fmt: skip


def test_a_table_has_every_number_of_the_history(result):
    pytest.importorskip("pandas", reason="pandas is not installed")
    table = result.to_pandas()
    assert len(table) == 6
    assert set(table.columns) == {"meta_step", "trial", *result.history[0]}
    for _, row in table.iterrows():
        for name, values in result.history[int(row.meta_step)].items():
            assert row[name] == values[int(row.trial)]


def test_without_pandas(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pandas is not installed: pip install pandas"):
        result.to_pandas()


@pytest.mark.parametrize(("width", "millimetres"), [("single", 85), ("double", 178), (120, 120)])
@pytest.mark.parametrize("what", ["coefficients", "loss"])
def test_figures_have_the_width_of_a_column(what, width, millimetres, result, tmp_path):
    found = {kind: result.plot(what, tmp_path / f"figure.{kind}", width).read_bytes() for kind in ("svg", "pdf", "png")}
    points = float(re.search(rb'width="([\d.]+)pt"', found["svg"])[1])
    assert abs(points / 72 * 25.4 - millimetres) < 0.1
    points = float(re.search(rb"/MediaBox \[ 0 0 ([\d.]+)", found["pdf"])[1])
    assert abs(points / 72 * 25.4 - millimetres) < 0.1
    (pixels,) = struct.unpack(">I", found["png"][16:20])
    assert abs(pixels / 600 * 25.4 - millimetres) < 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dreams", "x.svg"), "there is no 'dreams' to draw: there are coefficients, accuracy"),
        (("loss", "x.txt"), r"written as \.svg, \.pdf, \.png, not as \.txt"),
        (("loss", "x"), "not as a file without ending"),
        (("loss", "x.svg", 3), "20 to 1000 mm, not 3"),
        (("loss", "x.svg", "triple"), "20 to 1000 mm, not 'triple'"),
        (("loss", "x.svg", np.nan), "20 to 1000 mm, not nan"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, message, result, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        result.plot(*arguments)
    assert not list(tmp_path.iterdir())
