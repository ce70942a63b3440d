"""Experiment trackers: TensorBoard and Weights & Biases are told what ``metrics.jsonl`` holds.

They read what is recorded, and nothing is recorded for them alone. A tracker that fails is left out with one warning:
the run goes on, and its folder holds everything.
"""

import json
import math
import os
import secrets
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

from metaplax.runs.metrics import RECORD
from metaplax.runs.progress import AbstractProgress, Advance
from metaplax.runs.recorder import Row
from metaplax.runs.run_folder import RunFolder, finite

Tracked = Literal["nothing", "tensorboard", "wandb"]
Values = Mapping[str, float]
PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb"}
STATE = "tracked.json"
SECONDS = 5.0
"""Least time between two looks at the metrics."""


class AbstractTracker(ABC):
    """What is told of every recorded step."""

    @abstractmethod
    def log(self, study: str, step: int, values: Values) -> None:
        """Take the values of a step of a study, means over trials."""

    @abstractmethod
    def close(self) -> None:
        """Write what is not written yet."""


class TensorBoard(AbstractTracker):
    """Event files in the folder ``tensorboard`` of a run, written by tensorboardX; tags are ``<study>/<name>``."""

    def __init__(self, folder: RunFolder):
        place, suffix = str(folder.path / "tensorboard"), f".{secrets.token_hex(4)}"
        # Names of event files differ by the second only, but a run may be resumed at once.
        self._writer: Any = import_module("tensorboardX").SummaryWriter(place, filename_suffix=suffix)

    def log(self, study: str, step: int, values: Values) -> None:
        for name, value in values.items():
            self._writer.add_scalar(f"{study}/{name}", value, step)

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases(AbstractTracker):
    """A run of W&B with the name of the folder, in the project ``metaplax`` or what ``WANDB_PROJECT`` says.

    Keys are ``<study>/<name>``, and ``<study>/step`` counts the steps.
    With the environment variable ``WANDB_MODE=offline`` it is written into the run folder alone, for ``wandb sync``.
    """

    def __init__(self, folder: RunFolder):
        wandb: Any = import_module("wandb")
        name, config = folder.path.absolute().name, folder.config()
        self._run: Any = wandb.init(
            project=None if "WANDB_PROJECT" in os.environ else "metaplax",
            name=name,
            id="".join(letter if letter.isalnum() else "-" for letter in name),
            resume="allow",
            dir=str(folder.path),
            config={**config["config"], "experiment": config["experiment"], "preset": config["preset"]},
            settings=wandb.Settings(silent=True, console="off"),
        )
        for study in config["studies"]:
            # Studies have steps of their own, but W&B has one counter, which only goes up.
            self._run.define_metric(f"{self._named(study)}/*", step_metric=f"{self._named(study)}/step")

    def log(self, study: str, step: int, values: Values) -> None:
        study = self._named(study)
        self._run.log({f"{study}/step": step, **{f"{study}/{name}": value for name, value in values.items()}})

    def close(self) -> None:
        self._run.finish()

    def _named(self, study: str) -> str:
        """A study's name without dots, which divide names for W&B."""
        return study.replace(".", "-")


TRACKERS: dict[str, Callable[[RunFolder], AbstractTracker]] = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases}


def require_tracker(name: str) -> None:
    """Refuse a tracker that is unknown or not installed, before anything is computed.

    Raises:
        ValueError: it is one of these; one sentence.
    """
    if name not in ("nothing", *TRACKERS):
        raise ValueError(f"what is tracked goes to nothing, {' or '.join(TRACKERS)}, not to {name!r}")
    if name in PACKAGES and find_spec(PACKAGES[name]) is None:
        raise ValueError(f"{PACKAGES[name]} is not installed: pip install 'metaplax[tracking]'")


class Follower:
    """Reads the lines that are added to the metrics of a run, and tells a tracker.

    Which steps it has told is kept in ``tracked.json``, so that a resumed run tells the others only.

    Args:
        folder: the run folder.
        name: of the tracker.
    """

    def __init__(self, folder: RunFolder, name: str):
        self.folder, self.name = folder, name
        self._place, self._looked = 0, 0.0
        self._told: dict[str, int] = {}
        self._tracker: AbstractTracker | None = None
        with self._careful():
            state = json.loads((folder.path / STATE).read_text()) if (folder.path / STATE).is_file() else {}
            self._told = {study: int(step) for study, step in state.get(name, {}).items()}
            self._tracker = TRACKERS[name](folder)

    def look(self, *, at_once: bool = False) -> None:
        """Tell the tracker what is new, if some time has passed since the last look."""
        if self._tracker is None or not (at_once or time.monotonic() - self._looked >= SECONDS):
            return
        self._looked = time.monotonic()
        with self._careful():
            for line in self._new_lines():
                study, step = line["study"], line["step"]
                if step > self._told.get(study, -1):
                    self._tracker.log(study, step, means(line))
                    self._told[study] = step
            self._keep()

    def close(self) -> None:
        """Tell the rest, and close the tracker."""
        self.look(at_once=True)
        with self._careful():
            if self._tracker is not None:
                self._tracker.close()

    def _new_lines(self) -> Iterator[dict[str, Any]]:
        """The lines that were added since the last look; all of them if the file was written anew."""
        path = self.folder.metrics_path
        if not path.exists():
            return
        if path.stat().st_size < self._place:
            self._place = 0
        with path.open("rb") as stream:
            stream.seek(self._place)
            for text in iter(stream.readline, b""):
                if not text.endswith(b"\n"):
                    return
                self._place += len(text)
                yield json.loads(text)

    def _keep(self) -> None:
        path = self.folder.path / STATE
        others = self.folder.read_json(STATE) if path.is_file() else {}
        self.folder.write_json(STATE, finite({**others, self.name: self._told}))

    @contextmanager
    def _careful(self) -> Iterator[None]:
        """Leave out a tracker that fails, with one warning."""
        try:
            yield
        except Exception as error:
            self._tracker = None
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            warnings.warn(
                f"{self.name} is not told about this run any more, since it has failed ({reason}); the run goes on, and"
                f" {self.folder.path} holds everything",
                stacklevel=2,
            )


class TrackedProgress(AbstractProgress):
    """Progress that also has a follower look at the metrics now and then.

    Args:
        shown: the progress that is shown.
        follower: what looks.
    """

    def __init__(self, shown: AbstractProgress, follower: Follower):
        self.shown, self.follower = shown, follower

    def track(self, steps: int, first: int) -> AbstractContextManager[Advance]:
        return self._track(steps, first)

    @contextmanager
    def _track(self, steps: int, first: int) -> Iterator[Advance]:
        with self.shown.track(steps, first) as advance:

            def both(row: Row) -> None:
                advance(row)
                self.follower.look()

            yield both


@contextmanager
def tracked(
    folder: RunFolder, name: str, progress: Callable[[str], AbstractProgress]
) -> Iterator[Callable[[str], AbstractProgress]]:
    """Tell a tracker of a run what its folder records within this context.

    Args:
        folder: the run folder.
        name: of the tracker; ``"nothing"`` for none.
        progress: makes what shows how far a study is.

    Yields:
        what to use in the place of ``progress``.
    """
    if name == "nothing":
        yield progress
        return
    follower = Follower(folder, name)
    try:
        yield lambda title: TrackedProgress(progress(title), follower)
    finally:
        follower.close()


def means(line: Mapping[str, Any]) -> dict[str, float]:
    """The values of a line of the metrics, each as its mean over the trials in which it is finite, if there are any."""
    found = {}
    for name, values in line.items():
        numbers = [value for value in values if value is not None] if isinstance(values, list) else []
        if name not in RECORD and numbers:
            found[name] = math.fsum(numbers) / len(numbers)
    return found
