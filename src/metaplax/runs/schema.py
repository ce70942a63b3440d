"""What the JSON files of a run folder hold, and how they are read: anything else is refused in one sentence."""

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Any, Literal, NotRequired, TypedDict, TypeVar

import msgspec

from metaplax.runs.descriptions import ReportOptions

LARGEST = 1 << 28
"""Bytes of the largest JSON file, and of the longest line, that is read."""

T = TypeVar("T")
STUDY_NAME = r"\A[^\W_][^/\\\x00-\x1f]*\Z"
"""Names of studies, which are also those of files."""
Name = Annotated[str, msgspec.Meta(pattern=STUDY_NAME)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Numbers = list[float | None]
"""Numbers, with null for those that are not finite."""


class RunFolderError(Exception):
    """A run folder cannot be read, written or used; the message is one sentence."""


class Term(TypedDict):
    """A term of a rule as it is printed."""

    name: str
    text: str
    latex: str
    sign: int


class StudyEntry(TypedDict):
    """What ``config.json`` says about a study."""

    arm: str
    condition: str
    arm_label: str
    label: str
    terms: list[Term]
    group: NotRequired[str]
    variant: NotRequired[str]
    scanned: NotRequired[float | None]


class PublishedEntry(TypedDict):
    """A published number, and where it is from."""

    value: NotRequired[float | None]
    source: NotRequired[str]


class Code(TypedDict):
    """The file of an experiment of one's own."""

    file: str
    name: str
    sha256: str


class Config(TypedDict):
    """``config.json``"""

    experiment: str
    preset: str
    data: str
    data_dir: str | None
    data_sha256: str
    checkpoint_seconds: Annotated[float, msgspec.Meta(ge=0)]
    title: str
    source: str
    report: ReportOptions
    studies: dict[Name, StudyEntry]
    published: dict[str, PublishedEntry]
    config: dict[str, Any]
    code: NotRequired[Code | None]
    files: NotRequired[dict[str, str]]
    version: NotRequired[str]


class Asked(TypedDict):
    """The experiment and the configuration that a run was started with, or extended to."""

    experiment: str
    config: dict[str, Any]


class Env(TypedDict, total=False):
    """``env.json``"""

    command: list[str]
    commit: str | None
    python: str
    platform: str
    cores: int | None
    devices: list[str]
    settings: dict[str, Any]
    xla_flags: str
    libraries: dict[str, str]
    started: str
    asked: Asked


class QuantityEntry(TypedDict):
    """A quantity in ``result.json``."""

    name: str
    mean: float | None
    ci_low: float | None
    ci_high: float | None
    n: Count
    unit: str
    published: float | None
    published_source: str | None
    values: NotRequired[Numbers]


class Search(TypedDict):
    """How a number of a study was chosen: what was tried, on what, and what was taken.

    ``chosen`` has one number, or one for each of ``after``, numbers of parts of a stream, or one for each trial; and
    ``scores`` for each of these the mean of every value that was tried. ``episodes`` is that of every value and trial.
    """

    what: str
    values: list[float]
    on: str
    episodes: Count
    chosen: Numbers
    after: NotRequired[list[Count]]
    scores: NotRequired[list[Numbers]]


class Result(TypedDict, total=False):
    """``result.json``"""

    experiment: str
    preset: str
    data: str
    quantities: list[QuantityEntry]
    searched: dict[Name, Search]
    findings: list[str]
    seconds: float
    episodes_per_second: float | None
    finished: str


Cores = Annotated[int, msgspec.Meta(ge=1, le=4096)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]


class SweepTask(TypedDict):
    """A run of a sweep: its fields that differ from those of other runs, and its seed."""

    setting: dict[str, Any]
    seed: int


class SearchPlan(TypedDict):
    """What a search looks for: the quantity, the number of settings to try, and which fields are on a log scale."""

    goal: str
    maximise: bool
    settings: Annotated[int, msgspec.Meta(ge=1)]
    log: list[str]


class SweepPlan(TypedDict):
    """``sweep.json``"""

    experiment: str
    code: Code | None
    preset: str
    data_dir: str | None
    checkpoint_seconds: Annotated[float, msgspec.Meta(ge=0)]
    validation: list[str]
    config: dict[str, Any]
    fields: dict[str, list[Any]]
    seeds: list[int]
    cores: Cores
    gpu_share: Share
    tasks: dict[Name, SweepTask]
    search: SearchPlan | None
    version: str


class Chosen(TypedDict):
    """A setting that a search has chosen: its runs, and how often it was begun; a file in ``chosen``."""

    runs: dict[Name, SweepTask]
    tries: Count


class RunState(TypedDict):
    """What is known of a run of a sweep: a file in ``states``."""

    state: Literal["waiting", "running", "stopped", "failed", "finished"]
    part: Annotated[float, msgspec.Meta(ge=0, le=1)]
    study: str
    error: str
    seconds: float
    host: str


class Shown(TypedDict):
    """What a spiking network did in an example task."""

    said: Numbers
    spike_steps: list[int]
    spike_neurons: list[int]
    voltages: list[Numbers]


class ExampleTask(TypedDict, total=False):
    """A file of ``example_tasks``: a curve and what a network made of it, or the plays of a bandit."""

    axis: str
    x_values: list[float]
    target: Numbers
    support_x_values: list[float]
    support_target: Numbers
    dt: float
    threshold: float | None
    before: Shown
    after: Shown
    delta: float
    contexts: list[tuple[float, float]]
    actions: list[Annotated[int, msgspec.Meta(ge=0, le=4)]]


AS_LONG = (("target", "x_values"), ("support_target", "support_x_values"), ("actions", "contexts"))
"""Entries of an example task that have one number for each of another entry."""


def check_example_task(example: dict[str, Any]) -> None:
    """Refuse an example task whose parts do not fit together.

    Raises:
        ValueError: one sentence.
    """
    check(example, ExampleTask)
    x_values = example.get("x_values", [])
    pairs = [(name, example[name], example.get(other, [])) for name, other in AS_LONG if name in example]
    pairs += [(f"{when}.said", example[when]["said"], x_values) for when in ("before", "after") if when in example]
    pairs += [
        (f"{when}.spike_neurons", example[when]["spike_neurons"], example[when]["spike_steps"])
        for when in ("before", "after")
        if when in example
    ]
    for name, values, others in pairs:
        if len(values) != len(others):
            raise ValueError(f"{name} has {len(values)} numbers in place of {len(others)}")


def check(value: Any, kind: Any) -> None:
    """Refuse a value that is not of a kind; entries that it does not know are left alone.

    Raises:
        ValueError: one sentence that names the entry.
    """
    msgspec.convert(value, kind)


def as_kind(value: Any, kind: type[T]) -> T:
    """A dataclass from what is stored of it; entries that it does not know are left out.

    Raises:
        ValueError: one sentence that names the entry.
    """
    return msgspec.convert(value, kind)


@contextmanager
def damage(path: Path, where: str = "", advice: str = "") -> Iterator[None]:
    """Turn an error about what a file holds into one sentence, with where it is and what to do about it."""
    try:
        yield
    except RecursionError as error:
        reason, cause = "it is nested too deeply", error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason, cause = f"it has no {error}" if isinstance(error, KeyError) else " ".join(str(error).split()), error
    else:
        return
    raise RunFolderError(f"{where}{path} is damaged: {reason}{advice and f'; {advice}'}") from cause


@contextmanager
def explaining(path: Path, doing: str = "written") -> Iterator[None]:
    """Turn an error of the operating system into one sentence."""
    try:
        yield
    except OSError as error:
        raise RunFolderError(f"{path} cannot be {doing}: {error.strerror or error}") from error


@contextmanager
def opened_to_read(path: Path) -> Iterator[IO[bytes]]:
    """Open a file, which must be a regular one: a pipe would keep its reader waiting.

    Raises:
        RunFolderError: it cannot be read.
    """
    with explaining(path, "read"):
        # Not to wait for somebody to write, if it is a pipe after all.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise RunFolderError(f"{path} cannot be read: it is not a regular file")
            yield stream


def read_object(path: Path) -> dict[str, Any]:
    """Parse a JSON file that holds an object.

    Raises:
        RunFolderError: it is missing, damaged or too large.
    """
    with opened_to_read(path) as stream, explaining(path, "read"):
        content = stream.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise RunFolderError(f"{path} cannot be read: it has more than {LARGEST >> 20} MB")
    with damage(path):
        # Unlike that of msgspec, this parser takes names of files that are not text, as Python escapes them.
        value = json.loads(content, parse_constant=_refuse_constant)
        if not isinstance(value, dict):
            raise ValueError("it holds no object")
        return value


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is no number in JSON")
