"""Scores the learners of a finished run on longer streams than the run itself did."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from metaplax.experiments.base import LARGEST, ConfigError
from metaplax.experiments.limits import require_fit
from metaplax.experiments.lindsey2020.base import AbstractStreamExperiment
from metaplax.experiments.runner import Progress, checked, conduct_all, described, opened
from metaplax.experiments.stored_config import is_changed
from metaplax.runs import Interruption, NoProgress, RunFolder, RunFolderError
from metaplax.training import use_all_cores


@dataclass(frozen=True)
class Evaluation:
    """Streams on which a finished run is scored.

    Attributes:
        classes: number of classes (or functions) per stream.
        order: one class after the other with scores on the way (class), or all classes mixed (iid).
        episodes: number of streams on which each trial is scored.
    """

    classes: int = 10
    order: Literal["class", "iid"] = "class"
    episodes: int = 5

    @property
    def name(self) -> str:
        """The condition of the studies."""
        return f"{self.order}{self.classes}x{self.episodes}"

    @property
    def counts(self) -> tuple[int, ...]:
        """Numbers of parts after which streams are scored."""
        stops = (1, 2, 5, 10, 20, 50, 100, 200, 400) if self.order == "class" else ()
        return (*(stop for stop in stops if stop < self.classes), self.classes)


def evaluate(
    path: Path | str,
    evaluation: Evaluation,
    data_dir: Path | str | None = None,
    progress: Progress = lambda title: NoProgress(),
    interruption: Interruption | None = None,
) -> RunFolder:
    """Score the meta-learned parameters of a run on other streams, and add the scores to the run.

    Raises:
        ConfigError: the experiment does not learn streams, or the data have too few classes, or the network too few
            outputs.
        RunFolderError: the folder is not a run folder, damaged, in use or not finished, or the data are not the same as
            before.
        CheckpointError: the checkpoints are damaged or belong to another version of the experiment.
        DataError: the data are missing or damaged.
        Interrupted: the interruption was requested; the same call goes on.
    """
    for name in ("classes", "episodes"):
        if not 1 <= getattr(evaluation, name) <= LARGEST:
            raise ConfigError(f"{name} must be in 1 ... {LARGEST}, not {getattr(evaluation, name)}")
    use_all_cores()
    folder = RunFolder.open(path)
    with folder.writing():
        if not (folder.path / "result.json").is_file():
            raise RunFolderError(f"{path} is not finished: go on with `metaplax resume {path}` first")
        experiment, images, load = opened(folder, data_dir)
        if is_changed(folder, experiment):
            raise RunFolderError(f"{path} asks for another number of meta-steps: `metaplax resume {path}` first")
        if not isinstance(experiment, AbstractStreamExperiment):
            raise ConfigError(f"{experiment.name} learns no streams of classes, so there are no longer ones to score")
        order = "continual" if evaluation.order == "class" else "iid"
        task = experiment.test_task(images, load, evaluation.classes, order)
        trainings = experiment.trainings(images)
        studies = experiment.scores(evaluation.name, trainings, images, task, evaluation.counts, evaluation.episodes)
        require_fit(lambda: studies, experiment.trials, evaluation, Evaluation())
        everything = checked({**experiment.studies(images, load), **studies})
        config = folder.config()
        config["studies"] |= described(experiment, studies)
        folder.write_json("config.json", config)
        conduct_all(experiment, everything, folder, progress, interruption, "the same command")
    return folder
