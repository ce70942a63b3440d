"""``metaplax infer``, and the files that it reads."""

import json
from importlib.util import find_spec

import numpy as np
import pytest

from metaplax.cli import main
from metaplax.inference import read_array, read_nwb
from metaplax.plasticity import named_rules


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder, random = tmp_path_factory.mktemp("recordings"), np.random.default_rng(0)
    inputs = random.normal(size=(3, 5, 2))
    activity = random.random((3, 5, 2))
    activity[..., 1] = np.nan
    np.savez(folder / "cells.npz", inputs=inputs, activity=activity, start=random.normal(size=(2, 2)))
    choices = random.integers(0, 2, (3, 5)).astype(float)
    np.savez(folder / "flies.npz", inputs=inputs, choices=choices, rewards=np.ones((3, 5)))
    np.save(folder / "stimuli.npy", inputs)
    np.savez(folder / "other.npz", dff=activity)
    (folder / "broken.npz").write_bytes(b"PK not an archive")
    return folder


def test_a_rule_that_is_fitted_is_printed_and_kept(files, tmp_path, capsys):
    out = tmp_path / "rule.json"
    assert (
        main(
            [
                "infer",
                "--activity",
                str(files / "cells.npz"),
                "--meta-steps",
                "2",
                "--degree",
                "1",
                "--out",
                str(out),
                "--json",
            ]
        )
        == 0
    )
    told = json.loads(capsys.readouterr().out)
    assert told["notes"] == ["1 of 2 output neurons were never recorded, and are simulated but not scored"]
    assert (told["model"], len(told["coefficients"]), len(told["explained_percent_held_out"])) == ("rule", 8, 1)
    assert len(told["correlations"]) == len(told["slack"]) == 8
    assert all(told["slack"][name] >= told["slack_alone"][name] * (1 - 1e-5) for name in told["slack"])
    assert str(named_rules.load(out)) == told["rule"]


def test_choices_are_told_in_words(files, capsys):
    assert main(["infer", "--choices", str(files / "flies.npz"), "--model", "null", "--held-out", "0"]) == 0
    said = capsys.readouterr().out
    assert "explained   0.0 % of the misfit of the null model (fitted, n = 3)" in said
    assert "note: no trajectory is held out" in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "what was recorded?"),
        (["--activity", "nowhere.npz"], "there is no file nowhere.npz"),
        (["--activity", "{}/other.npz"], "has no array 'activity': there are dff"),
        (["--activity", "{}/other.npz:dff"], "the inputs are missing"),
        (["--activity", "{}/broken.npz"], "cannot be read"),
        (["--activity", "cells.mat"], "end with .npy, .npz, .nwb"),
        (["--activity", "{}/cells.npz", "--held-out", "1"], "a fraction below 1"),
        (["--activity", "{}/cells.npz", "--out", "rule.txt"], "ends with .json"),
        (["--choices", "{}/flies.npz", "--start", "{}/cells.npz"], "initial weights cannot be known"),
    ],
)
def test_bad_input_is_one_sentence(arguments, sentence, files, capsys):
    assert main(["infer", *(argument.format(files) for argument in arguments)]) == 2
    told = capsys.readouterr().err.strip()
    assert sentence in told
    assert len(told.splitlines()) == 1


def test_arrays_by_name(files):
    assert read_array(str(files / "other.npz") + ":dff", "activity").shape == (3, 5, 2)
    assert read_array(str(files / "stimuli.npy"), "inputs").shape == (3, 5, 2)


@pytest.mark.skipif(find_spec("pynwb") is not None, reason="pynwb is installed")
def test_without_pynwb_the_sentence_says_what_to_install(tmp_path, capsys):
    (tmp_path / "day.nwb").write_bytes(b"")
    assert main(["infer", "--activity", f"{tmp_path}/day.nwb:dff"]) == 2
    assert 'pip install "metaplax[nwb]"' in capsys.readouterr().err


@pytest.mark.skipif(find_spec("pynwb") is None, reason="pynwb is not installed")
@pytest.mark.filterwarnings("ignore")
def test_a_series_is_cut_into_the_trials_of_the_file(tmp_path):
    from datetime import UTC, datetime

    import pynwb

    content = pynwb.NWBFile("a session", "one", datetime(2026, 1, 1, tzinfo=UTC))
    values = np.arange(20.0).reshape(10, 2)
    content.add_acquisition(pynwb.TimeSeries("dff", data=values, unit="1", rate=1.0, starting_time=0.0))
    for first, last in ((0.0, 4.0), (5.0, 10.0)):
        content.add_trial(start_time=first, stop_time=last)
    with pynwb.NWBHDF5IO(str(tmp_path / "day.nwb"), "w") as stream:
        stream.write(content)
    first, second = read_nwb(tmp_path / "day.nwb", "dff")
    np.testing.assert_array_equal(first, values[:4])
    np.testing.assert_array_equal(second, values[5:])
    with pytest.raises(ValueError, match="no time series 'spikes': there are dff"):
        read_array(f"{tmp_path}/day.nwb", "spikes")
