"""Sizes that no machine can hold, and numbers out of range, are refused in a sentence before anything is compiled."""

from dataclasses import fields, replace

import jax
import jax.numpy as jnp
import pytest

import own
from metaplax import data, experiments
from metaplax.cli import main
from metaplax.experiments import ConfigError, limits, runner
from metaplax.experiments.operations import operations
from metaplax.learners import IncompatibleError

LEGAL_ZEROS = {"held_out", "inner_steps", "polyak_from", "silent"}
"""Fields that may be 0; so may the ``meta_steps`` of a comparison of estimators."""


def smoke(name):
    """An experiment as its preset ``smoke`` configures it, on the built-in data."""
    experiment = experiments.preset(name, "smoke")
    own_data = {"data": "glyphs"} if experiment.data != "none" else {}
    return replace(experiment, **own_data, **({"safeguards": False} if hasattr(experiment, "safeguards") else {}))


def with_number(experiment, name, number):
    """The experiment with a field, or the first of the numbers in it, replaced."""
    value = getattr(experiment, name)
    return replace(experiment, **{name: (number, *value[1:]) if isinstance(value, tuple) else number})


def prepare(experiment):
    """Do what comes before the first compilation."""
    images = data.load(experiment.data)
    return runner.prepared(experiment, images, lambda name, split=None: data.load("glyphs"), "smoke")


def whole_numbers(experiment):
    """Names of the fields that hold whole numbers."""
    first = {f.name: getattr(experiment, f.name) for f in fields(experiment)}
    first = {name: value[0] if isinstance(value, tuple) and value else value for name, value in first.items()}
    return [name for name, value in first.items() if type(value) is int]


@pytest.mark.parametrize("name", experiments.names())
def test_numbers_out_of_range_are_refused(name, few_glyphs):
    del few_glyphs
    experiment = smoke(name)
    assert len(whole_numbers(experiment)) > 1
    for field in whole_numbers(experiment):
        is_legal = field in LEGAL_ZEROS or (field, name) == ("meta_steps", "compare-estimators")
        for number in (2**31, 2**63, 0, -1):
            if (field == "seed" and 0 <= number < 2**32) or (is_legal and number == 0):
                continue
            with pytest.raises((ConfigError, IncompatibleError)) as refused:
                prepare(with_number(experiment, field, number))
            assert "\n" not in str(refused.value), (field, number)


@pytest.mark.parametrize("number", ["2147483648", "9223372036854775808", "-1"])
def test_the_command_line_refuses_them_too(number, capsys):
    assert main(["run", "quickstart", "--trials", number]) == 2
    assert "trials must be" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "field", "number"),
    [
        ("shervani2023/fig1", "trials", 10**6),
        ("lindsey2020/regression-iid", "meta_batch", 10**9),
        ("lindsey2020/regression-iid", "minibatches", 10**9),
        ("lindsey2020/regression-iid", "sizes", 10**9),
        ("lindsey2020/omniglot-iid", "test_episodes", 10**9),
        ("lindsey2020/omniglot-iid", "channels", 10**6),
        ("lindsey2020/omniglot-iid", "hidden", 10**9),
        ("zucchet2022/metaopt-mnist", "width", 10**6),
        ("zucchet2022/spiking-pattern", "hidden", 10**6),
        ("zucchet2022/spiking-pattern", "steps", 10**9),
        ("zucchet2022/fewshot-omniglot", "channels", 10**9),
        ("zucchet2022/wheel-bandit", "hidden", 10**6),
        ("zucchet2022/wheel-bandit", "plays", 10**9),
    ],
)
def test_what_cannot_fit_is_refused_with_the_estimate_and_the_field(name, field, number, few_glyphs, monkeypatch):
    del few_glyphs
    monkeypatch.setattr(limits, "available", lambda: 10**10)
    experiment = with_number(smoke(name), field, number)
    with pytest.raises(
        ConfigError, match=rf"(GB of memory, and there are 10\.0 GB|can be counted): make {field} small"
    ):
        prepare(experiment)


@pytest.mark.parametrize(
    ("name", "field", "number"),
    [
        ("quickstart", "meta_steps", 10**9),
        ("lindsey2020/omniglot-iid", "meta_steps", 10**9),
        ("zucchet2022/spiking-sinusoid", "meta_steps", 10**9),
        ("zucchet2022/metaopt-mnist", "meta_steps", 10**9),
        ("compare-estimators", "meta_steps", 10**9),
    ],
)
def test_what_would_not_end_is_refused_with_the_estimate_and_the_field(name, field, number, few_glyphs, monkeypatch):
    del few_glyphs
    monkeypatch.setattr(limits, "peak_speed", lambda: 1e8)
    monkeypatch.setattr(limits, "available", lambda: None)
    with pytest.raises(
        ConfigError, match=rf"at least [\d,]+ days at the peak speed of this machine: make {field} small"
    ):
        prepare(with_number(smoke(name), field, number))


def test_operations_are_those_of_products_with_all_passes_of_loops():
    a, b, image, kernel = jnp.ones((3, 5)), jnp.ones((5, 7)), jnp.ones((2, 4, 9, 9)), jnp.ones((6, 4, 3, 3))
    assert operations(lambda: a @ b) == 2 * 3 * 5 * 7
    assert operations(lambda: jax.lax.scan(lambda c, _: (jax.jit(jnp.dot)(c, b @ b.T), None), a, None, length=11)) == (
        11 * 2 * (5 * 7 * 5 + 3 * 5 * 5)
    )
    assert operations(lambda: jax.lax.cond(a[0, 0] > 0, lambda: a @ b, lambda: a @ b @ b.T @ b)) == 2 * 3 * 5 * 7
    convolved = lambda: jax.lax.conv(image, kernel, (1, 1), "VALID")  # noqa: E731
    assert operations(convolved) == 2 * (2 * 6 * 7 * 7) * (4 * 3 * 3)
    assert operations(convolved) == jax.jit(convolved).lower().cost_analysis()["flops"]


def test_what_fits_is_not_refused(few_glyphs, monkeypatch):
    del few_glyphs
    monkeypatch.setattr(limits, "available", lambda: 10**8)
    assert set(prepare(smoke("quickstart"))) == {"bp", "fa", "f_bio"}
    monkeypatch.setattr(limits, "available", lambda: None)
    prepare(smoke("quickstart"))


def test_the_memory_of_a_container_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "CONTAINER_LIMIT", tmp_path / "memory.max")
    machine = limits.available()
    assert machine is not None
    for said, expected in (("max\n", machine), ("4096\n", 4096)):
        (tmp_path / "memory.max").write_text(said)
        assert limits.available() == expected


def test_memory_that_has_run_out_is_said_in_a_sentence(tmp_path, monkeypatch, capsys):
    file = own.write(tmp_path)

    def conduct(self, conditions):
        jax.block_until_ready(jnp.zeros(2**45))

    kind = experiments.lookup(f"{file}:Mine")
    study = type(kind().studies(None, None)["one"])
    monkeypatch.setattr(study, "conduct", conduct)
    monkeypatch.setattr(experiments, "lookup", lambda name: kind)
    assert main(["run", f"{file}:Mine", "--out", str(tmp_path)]) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "there is not enough memory: ask for fewer trials" in said
    assert "study 'one'; go on, with more memory, by: metaplax resume" in said
