"""What meta-training gives: a learner of every trial that runs, and the history."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PyTree

from metaplax.learners import AbstractLearner, join, split
from metaplax.runs import Row
from metaplax.training.result_files import Kept, read, write

RESAMPLING = 2**32 - 1
"""In the place of the index of a meta-step, for what is drawn once per trial."""


def resample_key(trial_key: Key[Array, ""]) -> Key[Array, ""]:
    """The key of what is drawn once per trial."""
    return jax.random.fold_in(trial_key, RESAMPLING)


def trial_learner(learner: AbstractLearner, parameters: PyTree, trial_key: Key[Array, ""], resample: bool) -> Any:
    """The learner of one trial, ready to run, from the one that was given to meta-training.

    With ``resample`` the trial started with a fresh draw, arrays included that are not meta-learned.
    """
    start = learner.resample(resample_key(trial_key)) if resample else learner
    own, constants = split(start)
    # What is frozen may be said in other words.
    return join(jax.tree.unflatten(jax.tree.structure(own), jax.tree.leaves(parameters)), constants)


@dataclass(frozen=True, repr=False)
class MetaTrained:
    """What ``meta_train`` returns.

    Attributes:
        learner: the learner with its meta-learned arrays, each with a leading axis of trials, so that it does not run
            itself: ``trial`` and ``mean`` give learners that do.
        history: what was recorded, one row per meta-step.
        masked: for each trial, how many episodes were left out because they exploded.
        seconds: wall-clock seconds, compilation included.
    """

    learner: AbstractLearner
    history: list[Row]
    masked: tuple[int, ...]
    seconds: float
    _given: AbstractLearner
    _keys: Key[Array, " trials"]
    _resample: bool

    def trial(self, index: int) -> AbstractLearner:
        """The learner that trial ``index`` has found, ready to run.

        Raises:
            IndexError: there is no such trial.
        """
        if not -len(self.masked) <= index < len(self.masked):
            raise IndexError(f"there is no trial {index}: there are {len(self.masked)}")
        parameters = jax.tree.map(lambda leaf: leaf[index], split(self.learner)[0])
        return trial_learner(self._given, parameters, self._keys[index], self._resample)

    def mean(self) -> AbstractLearner:
        """The learner with every meta-learned array averaged over trials, ready to run."""
        parameters, constants = split(self.learner)
        return eqx.combine(jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), parameters), constants)

    def scalars(self) -> Row:
        """Meta-parameters worth plotting after the last meta-step, for each trial."""
        parameters, constants = split(self.learner)
        found = jax.vmap(lambda one: join(one, constants).scalars())(parameters)
        return {name: np.asarray(value) for name, value in found.items()}

    def to_pandas(self) -> Any:
        """What was recorded as a ``pandas.DataFrame``: a row for every meta-step and trial, a column for every series.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            pandas = import_module("pandas")
        except ImportError as error:
            raise ImportError("pandas is not installed: pip install pandas") from error
        steps, trials = np.indices((len(self.history), len(self.masked)))
        series = {name: np.stack([row[name] for row in self.history]).ravel() for name in (self.history or [{}])[0]}
        return pandas.DataFrame({"meta_step": steps.ravel(), "trial": trials.ravel(), **series})

    def plot(self, what: str, path: str | Path, width: str | float | int = "single") -> Path:
        """Draw a series against the meta-steps into an SVG, PDF or PNG: means over trials, with 98 % intervals.

        Args:
            what: ``"coefficients"`` of the rule, or the name of a series, such as ``"loss"``.
            path: the file; its ending says the format.
            width: ``"single"`` (85 mm) or ``"double"`` (178 mm) for the columns of a journal, or millimetres.

        Returns:
            the file.

        Raises:
            ValueError: there is no such series, width or format.
        """
        from metaplax.reports.result_figures import draw_history  # slow to import, because of matplotlib

        return draw_history(self.history, what, path, width)

    def save(self, folder: str | Path) -> None:
        """Write the result into a folder, from which ``metaplax.load`` reads it back to the bit.

        A result that is there already is replaced, all or nothing.

        Raises:
            RunFolderError: the folder cannot be written.
        """
        about = {"masked": list(self.masked), "seconds": float(self.seconds), "resample": self._resample}
        found = split(self.learner)[0]
        write(Path(folder), Kept(self._given, found, self._keys, self.history, about))

    def __repr__(self) -> str:
        first, last = (f"{np.nanmean(self.history[at]['loss']):.4g}" for at in (0, -1)) if self.history else ("–", "–")
        sizes = f"{len(self.history)} meta-steps, {len(self.masked)} trials"
        return f"MetaTrained({sizes}, loss {first} to {last}, {sum(self.masked)} episodes masked, {self.seconds:.1f} s)"


def load(folder: str | Path, learner: AbstractLearner | None = None) -> MetaTrained:
    """The result of meta-training that ``result.save(folder)`` has written.

    The learner is made from what the file says about it: of classes of this package, and of numbers. Nothing is
    imported or executed because a file says so. So a learner with a function in it, or with a class of one's own, has
    to be given again, as it was given to ``meta_train``; numbers come from the file in any case.

    Args:
        folder: where it is.
        learner: the learner that meta-training was given, if no file can hold that.

    Raises:
        RunFolderError: there is no result, it is damaged, or a later version has written it.
        IncompatibleError: the learner is needed and was not given, or it is another one.
    """
    kept = read(Path(folder), learner)
    found = eqx.combine(kept.found, split(kept.given)[1])
    about = kept.about
    masked = tuple(about["masked"])
    return MetaTrained(found, list(kept.history), masked, about["seconds"], kept.given, kept.keys, about["resample"])
