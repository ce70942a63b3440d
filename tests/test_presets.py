"""Presets and settings in TOML files: what they inherit, which mistakes are refused; and all presets that there are."""

from dataclasses import dataclass
from typing import Any, Literal

import pytest

from metaplax.cli.named import about_experiment, duration
from metaplax.experiments import EXPERIMENTS, ConfigError, presets
from metaplax.experiments.presets import checked, load_presets, load_settings, load_tables, preset_times
from metaplax.experiments.registry import configure
from scripts import preset_times as preset_times_script


@dataclass(frozen=True)
class Settings:
    rate: float
    steps: int = 1
    kind: Literal["adam", "sgd"] = "sgd"
    sizes: tuple[int, ...] = ()
    pair: tuple[str, float] = ("", 0.0)
    damping: float | None = None
    exact: bool = False
    more: Any = None


@pytest.fixture
def written(tmp_path):
    """Writes a TOML file and gives the path of the module that it lies beside."""

    def write(text: str, name: str = "presets.toml") -> str:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return str(tmp_path / "module.py")

    return write


def test_a_table_takes_over_the_keys_of_another(written):
    module = written(
        """
        [base.smoke]
        steps = 1
        sizes = [4, 2]

        [mine]
        like = "base"

        [mine.quick]
        like = "smoke"
        steps = 5

        [mine.long]
        like = "base.smoke"
        nested = { like = "mine.quick" }
        """
    )
    smoke, quick = {"steps": 1, "sizes": (4, 2)}, {"steps": 5, "sizes": (4, 2)}
    assert load_presets(module, "mine") == {"smoke": smoke, "quick": quick, "long": {**smoke, "nested": quick}}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[other.smoke]", r"presets.toml: there is no table \[mine\]"),
        ('[mine.smoke]\nlike = "quick"', r"there is no table \[mine.quick\]"),
        ('[mine.a]\nlike = "b"\n[mine.b]\nlike = "a"', "is like itself"),
        ('[mine]\nlike = "mine"', r"\[mine\] is like itself"),
    ],
)
def test_tables_that_are_missing_or_like_themselves(text, sentence, written):
    with pytest.raises(ConfigError, match=sentence):
        load_presets(written(text), "mine")


def test_settings_have_the_types_of_their_fields(written):
    module = written(
        """
        [paper]
        a = { rate = 1, sizes = [3, 2], pair = ["adam", 1], kind = "adam", exact = true }
        b = { like = "paper.a", damping = 2, steps = 7 }
        """,
        "settings.toml",
    )
    found = load_settings(module, "settings.toml", Settings)["paper"]
    assert found["a"] == Settings(1.0, 1, "adam", (3, 2), ("adam", 1.0), exact=True)
    assert found["b"] == Settings(1.0, 7, "adam", (3, 2), ("adam", 1.0), 2.0, True)
    assert isinstance(found["b"].damping, float)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"rates": 1.0}, "here: there is no field 'rates', did you mean 'rate'"),
        ({"xyzzy": 1.0}, "here: there is no field 'xyzzy'$"),
        ({"rate": "fast"}, "here: rate must be of type float, but is 'fast'"),
        ({"steps": 1.5}, "steps must be of type int, but is 1.5"),
        ({"steps": True}, "steps must be of type int, but is True"),
        ({"exact": 1}, "exact must be of type bool"),
        ({"kind": "rmsprop"}, r"kind must be of type typing.Literal\['adam', 'sgd'\], but is 'rmsprop'"),
        ({"sizes": (1, "b")}, "sizes must be of type"),
        ({"pair": ("a",)}, "pair must be of type"),
        ({"damping": "none"}, "damping must be of type"),
    ],
)
def test_values_that_do_not_fit_are_refused_in_one_sentence(values, sentence):
    with pytest.raises(ConfigError, match=sentence):
        checked(values, Settings, "here")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_preset_of_every_experiment_is_a_configuration(name):
    kind = EXPERIMENTS[name]
    assert {"smoke", "quick", "paper"} <= set(kind.presets)
    for preset in kind.presets:
        assert isinstance(configure(kind, preset), kind)


def test_times_are_of_presets_that_there_are_and_those_of_kept_results():
    times = load_tables(presets.__file__, "times.toml")
    assert all(times[name].keys() <= EXPERIMENTS[name].presets.keys() for name in times)
    kept = preset_times_script.of_kept_results()
    assert {key: preset_times(key[0])[key[1]] for key in kept} == {
        key: preset_times_script.rounded(seconds) for key, seconds in kept.items()
    }


def test_what_help_says_of_an_experiment():
    said = about_experiment(configure(EXPERIMENTS["shervani2023/fig3"], "paper"))
    assert f"paper ({duration(preset_times('shervani2023/fig3')['paper'])})" in said
    assert "metaplax data fetch emnist" in said


def test_a_time_is_said_in_its_nearest_unit():
    assert [duration(seconds) for seconds in (1, 45, 100, 1700, 5400, 9000)] == [
        "1 s", "45 s", "2 min", "28 min", "1.5 h", "2.5 h",
    ]  # fmt: skip
