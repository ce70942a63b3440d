"""Trackers are told what a run records, by their own writers, and never stop a run."""

import json
import math
import struct
import time
import warnings

import pytest

import counting
from metaplax import experiments
from metaplax.cli import main
from metaplax.experiments import ConfigError, RunOptions
from metaplax.runs import Interrupted, Interruption, RunFolder, tracking
from metaplax.runs.metrics import RECORD

pytestmark = pytest.mark.usefixtures("known")
known = counting.known


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path):
    """W&B reaches nobody, and leaves nothing outside of the folder of the test."""
    for name, value in {"WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false"}.items():
        monkeypatch.setenv(name, value)
    for name in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "wandb-home"))


def recorded(folder: RunFolder) -> dict[tuple[str, int], dict[str, float]]:
    """What the metrics hold, as means over trials that are computed here."""
    found = {}
    for line in folder.metrics_path.read_text().splitlines():
        row = json.loads(line)
        values = {k: v for k, v in row.items() if k not in RECORD and isinstance(v, list)}
        finite = {k: [x for x in v if x is not None] for k, v in values.items()}
        found[row["study"], row["step"]] = {k: sum(v) / len(v) for k, v in finite.items() if v}
    return found


def events(folder: RunFolder) -> list[tuple[str, int, float]]:
    """The scalars in the event files of a run, read record by record."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted((folder.path / "tensorboard").iterdir()):
        content, place = path.read_bytes(), 0
        while place < len(content):
            (size,) = struct.unpack_from("<Q", content, place)
            event = Event.FromString(content[place + 12 : place + 12 + size])
            found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
            place += 16 + size
    return found


def assert_told(folder: RunFolder) -> None:
    expected = recorded(folder)
    found = events(folder)
    pairs = {(f"{study}/{name}", step): value for (study, step), row in expected.items() for name, value in row.items()}
    assert len(found) == len(pairs), "every value once"
    for tag, step, value in found:
        assert math.isclose(value, pairs[tag, step], rel_tol=1e-6)


def run(tmp_path, track, **fields) -> RunFolder:
    return experiments.run(counting.Counting(**fields), RunOptions(out=tmp_path, checkpoint_seconds=0.0, track=track))


def test_tensorboard_holds_what_is_recorded(tmp_path):
    pytest.importorskip("tensorboardX", reason="an extra that is not installed")
    folder = run(tmp_path, "tensorboard")
    assert {study for study, _ in recorded(folder)} == set(folder.config()["studies"])
    assert_told(folder)


class AfterTwo(Interruption):
    """Asks to stop after two steps."""

    asked = 0

    @property
    def requested(self):
        self.asked += 1
        return "SIGTERM" if self.asked > 3 else None

    @requested.setter
    def requested(self, value):
        pass


def test_a_resumed_run_tells_the_rest_only(tmp_path):
    pytest.importorskip("tensorboardX", reason="an extra that is not installed")
    options = RunOptions(out=tmp_path, checkpoint_seconds=0.0, track="tensorboard")
    with pytest.raises(Interrupted):
        experiments.run(counting.Counting(), options, interruption=AfterTwo())
    (path,) = tmp_path.iterdir()
    assert 0 < len({step for _, step, _ in events(RunFolder(path))}) < 4
    assert main(["resume", str(path), "--more-meta-steps", "2", "--track", "tensorboard"]) == 0
    folder = RunFolder.open(path)
    last = {(tag, step): value for tag, step, value in events(folder)}
    assert len(last) == len(events(folder)), "no step twice"
    for (study, step), row in recorded(folder).items():
        for name, value in row.items():
            assert math.isclose(last[f"{study}/{name}", step], value, rel_tol=1e-6)


def records(content: bytes):
    """The records of a W&B file: seven bytes in front, then blocks of 32 kB with parts of records, as in LevelDB."""
    place, record = 7, b""
    while place + 7 <= len(content):
        left = 32768 - place % 32768
        _, size, kind = struct.unpack_from("<IHB", content, place)
        if left < 7 or kind == 0:
            place += left
            continue
        record += content[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""


def test_wandb_holds_what_is_recorded(tmp_path):
    pytest.importorskip("wandb", reason="an extra that is not installed")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        folder = run(tmp_path, "wandb")
        from wandb.proto.wandb_internal_pb2 import Record
    (file,) = folder.path.glob("wandb/offline-run-*/*.wandb")
    # The service of W&B writes the file a moment after the run has ended.
    written, deadline = [], time.monotonic() + 60
    while not any(record.HasField("exit") for record in written) and time.monotonic() < deadline:
        written = [Record.FromString(content) for content in records(file.read_bytes())]
        time.sleep(0.1)
    found = {}
    for record in written:
        row = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        for name in row:
            if name.endswith("/step"):
                study = name.removesuffix("/step")
                found[study, row[name]] = {
                    k.removeprefix(f"{study}/"): v for k, v in row.items() if k.startswith(f"{study}/") and k != name
                }
    assert found == {(study.replace(".", "-"), step): row for (study, step), row in recorded(folder).items()}
    assert {path.name for path in tmp_path.iterdir()} <= {folder.path.name, "wandb-home"}


class Broken(tracking.AbstractTracker):
    """Fails when it is made, when it is told something, or at the end."""

    def __init__(self, at: str):
        self.at, self.told = at, 0
        self._fail("making")

    def _fail(self, now: str) -> None:
        if now == self.at:
            raise ConnectionError(f"the server\nis gone while {now}")

    def log(self, study, step, values):
        self.told += 1
        self._fail("telling")

    def close(self):
        self._fail("closing")


@pytest.mark.parametrize("at", ["making", "telling", "closing"])
def test_a_tracker_that_fails_never_stops_a_run(at, tmp_path, monkeypatch):
    monkeypatch.setitem(tracking.TRACKERS, "tensorboard", lambda folder: Broken(at))
    with pytest.warns(UserWarning, match="tensorboard is not told") as caught:
        folder = run(tmp_path / "tracked", "tensorboard")
    (warning,) = caught
    assert f"(ConnectionError: the server is gone while {at}); the run goes on" in str(warning.message)
    plain = run(tmp_path / "plain", "nothing")
    assert recorded(folder) == recorded(plain)
    assert (folder.path / "result.json").is_file()


@pytest.mark.filterwarnings("default")
def test_on_the_command_line_it_is_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(tracking.TRACKERS, "wandb", lambda folder: Broken("telling"))
    words = ["run", "counting", "--track", "wandb", "--out", str(tmp_path)]
    assert main(words) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]
    assert line.startswith("warning: wandb is not told about this run any more")


def test_metrics_that_are_damaged_for_the_tracker_alone(tmp_path, monkeypatch):
    """What was told is kept in a file of its own; if that is damaged, the run goes on."""
    folder = run(tmp_path, "nothing")
    (folder.path / tracking.STATE).write_text("{")
    monkeypatch.setitem(tracking.TRACKERS, "tensorboard", lambda folder: Broken(""))
    with pytest.warns(UserWarning, match="tensorboard is not told about this run any more"):
        experiments.resume(folder.path, track="tensorboard", more_meta_steps=1)


@pytest.mark.parametrize(
    ("track", "message"),
    [("paper", "nothing, tensorboard or wandb, not to 'paper'"), ("wandb", "pip install 'metaplax\\[tracking\\]'")],
)
def test_what_cannot_be_tracked_is_refused_before_anything_is_computed(track, message, tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=message):
        tracking.require_tracker(track)
    if track == "wandb":
        with pytest.raises(ConfigError, match=message):
            run(tmp_path, track)
    assert not list(tmp_path.iterdir())
