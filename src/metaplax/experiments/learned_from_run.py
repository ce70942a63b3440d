"""What an arm of a finished run has meta-learned, as what ``meta_train`` returns."""

from pathlib import Path

import equinox as eqx
import jax
import numpy as np

from metaplax.experiments.base import ConfigError, did_you_mean
from metaplax.experiments.runner import opened, recorder_of
from metaplax.experiments.studies.meta_training import MetaTraining
from metaplax.learners import split
from metaplax.runs import RunFolder
from metaplax.training import MetaTrained, keys_of_trials


def meta_learned(path: Path | str, arm: str, data_dir: Path | str | None = None) -> MetaTrained:
    """What an arm of a run has meta-learned: ``meta_learned("runs/...", "f_bio").mean().rule`` is its rule.

    Args:
        path: run folder.
        arm: name of a study of the run that meta-trains, such as ``"f_bio"``.
        data_dir: folder to look for data in, if it has moved.

    Returns:
        what ``meta_train`` returns, with the rows that the run has recorded; nothing is run or written.

    Raises:
        ConfigError: the run has no such arm.
        RunFolderError: the folder is not a run folder or damaged, or the data are not the same as before.
        CheckpointError: the arm is not finished, or its checkpoints are damaged.
        DataError: the data are missing or damaged.
    """
    folder = RunFolder.open(path)
    experiment, images, load = opened(folder, data_dir)
    studies = experiment.studies(images, load)
    arms = {name: study for name, study in studies.items() if isinstance(study, MetaTraining)}
    if arm not in arms:
        known = f"there are {', '.join(arms)}" if arms else "it meta-trains nothing that could be had so"
        raise ConfigError(f"{folder.path} has no meta-trained arm {arm!r}: {did_you_mean(arm, arms, known)}")
    study, keys = arms[arm], keys_of_trials(jax.random.key(experiment.seed), experiment.trials)
    recorder = recorder_of(experiment, studies, folder, arm)
    found = eqx.combine(study.trained(recorder, keys), split(study.learner)[1])
    rows = [row for row in folder.rows() if row["study"] == arm]
    history = [{name: np.asarray(value) for name, value in row.items() if type(value) is list} for row in rows]
    masked = tuple(int(count) for row in rows if row.get("final") for count in row["masked"])
    seconds = sum(row.get("seconds", 0.0) for row in rows)
    steps = [row for row, kept in zip(history, rows, strict=True) if not kept.get("final")]
    return MetaTrained(found, steps, masked, seconds, study.learner, keys, study.resample)
