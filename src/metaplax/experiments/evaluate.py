"""What a finished run has meta-learned, on longer streams than it was scored on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from metaplax.experiments.base import ConfigError
from metaplax.experiments.lindsey2020.base import AbstractStreamExperiment
from metaplax.experiments.runner import Progress, checked, conduct_all, described, opened, write_result
from metaplax.runs import Interruption, NoProgress, RunFolder, RunFolderError
from metaplax.tasks import Order
from metaplax.training import use_all_cores


@dataclass(frozen=True)
class Evaluation:
    """Streams to score a finished run on.

    Attributes:
        classes: classes (or functions) per stream.
        order: one after the other (``"class"``), scored on the way; or mixed (``"iid"``).
        episodes: how many streams each trial is scored on.
    """

    classes: int = 10
    order: Literal["class", "iid"] = "class"
    episodes: int = 5

    @property
    def name(self) -> str:
        """What the studies are called, after the name of their arm."""
        return f"{self.order}{self.classes}x{self.episodes}"

    @property
    def counts(self) -> tuple[int, ...]:
        """After how many parts streams are scored."""
        stops = (1, 2, 5, 10, 20, 50, 100, 200, 400) if self.order == "class" else ()
        return (*(stop for stop in stops if stop < self.classes), self.classes)


def evaluate(
    path: Path,
    evaluation: Evaluation,
    data_dir: Path | None = None,
    progress: Progress = lambda title: NoProgress(),
    interruption: Interruption | None = None,
) -> RunFolder:
    """Score what a run has meta-learned on other streams, and add the scores to the run.

    Raises:
        ConfigError: the experiment is not one of streams, there are not so many classes, or too few outputs for them.
        RunFolderError: the folder is no run folder, damaged, in use or not finished, or the data are not the same as
            before.
        CheckpointError: the checkpoints are damaged or belong to another version of the experiment.
        DataError: the data are missing or damaged.
        Interrupted: somebody asked to stop; asking again goes on.
    """
    if evaluation.classes < 1 or evaluation.episodes < 1:
        raise ConfigError("classes and episodes must be at least 1")
    use_all_cores()
    folder = RunFolder.open(path)
    with folder.writing():
        if not (path / "result.json").is_file():
            raise RunFolderError(f"{path} is not finished: go on with `metaplax resume {path}` first")
        experiment, images, load = opened(folder, data_dir)
        if not isinstance(experiment, AbstractStreamExperiment):
            raise ConfigError(f"{experiment.name} learns no streams of classes, so there are no longer ones to score")
        order: Order = "continual" if evaluation.order == "class" else "iid"
        task = experiment.test_task(images, load, evaluation.classes, order)
        trainings = experiment.trainings(images)
        studies = checked(
            {
                f"{name}.{evaluation.name}": experiment.stream_scores(
                    name, training, images, task, evaluation.counts, evaluation.episodes
                )
                for name, training in trainings.items()
            }
        )
        everything = {**experiment.studies(images, load), **studies}
        config = folder.config()
        rules = {**config["rules"], **described(experiment, studies)}
        folder.write_json("config.json", {**config, "rules": rules})
        conduct_all(experiment, everything, folder, progress, interruption, "the same command")
        write_result(experiment, everything, folder)
    return folder
