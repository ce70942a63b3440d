"""Recordings of one's own as trajectories: NumPy arrays, with what is missing told in sentences."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from metaplax.tasks import Episode, Examples, Recordings

LearnFrom = Literal["accepted", "all"]


@dataclass(frozen=True)
class Recorded:
    """Trajectories of one experiment, all of the same length; shorter ones end with steps without input.

    Attributes:
        x: inputs, shape ``(trajectories, steps, inputs)``.
        y: activity of the output neurons, or choices, shape ``(trajectories, steps, outputs)``; NaN where unknown.
        learns: 1 where synapses change after a step, else 0, shape ``(trajectories, steps)``.
        modulators: rewards minus what was expected, shape ``(trajectories, steps, 1)``; ``None`` without rewards.
        notes: what is missing, in sentences.
    """

    x: np.ndarray
    y: np.ndarray
    learns: np.ndarray
    modulators: np.ndarray | None
    notes: tuple[str, ...]

    def task(
        self, rows: slice, start: np.ndarray | None = None, *, bootstrap: bool = False, sequence: bool = False
    ) -> Recordings:
        """Some of the trajectories as episodes.

        Args:
            rows: which.
            start: initial weights of each, shape ``(trajectories, neurons, inputs)``, where they are known.
            bootstrap: whether every trial of meta-training draws them with replacement.
            sequence: whether a trajectory is one example with an axis of time, not one example per step.
        """
        arrays = [None if part is None else jnp.asarray(part[rows], float) for part in self._parts()]
        arrays = [part if part is None or not sequence else part[:, None] for part in arrays]
        support = Examples(*arrays)  # pyright: ignore[reportArgumentType]
        weights = None if start is None else (jnp.asarray(start[rows], float),)
        return Recordings(Episode(support, support, weights), bootstrap=bootstrap)

    def _parts(self) -> tuple[np.ndarray | None, ...]:
        return self.x, self.y, self.learns, self.modulators


def recorded(
    inputs: Any,
    *,
    activity: Any = None,
    choices: Any = None,
    rewards: Any = None,
    learn_from: LearnFrom = "accepted",
    window: int = 10,
) -> Recorded:
    """Check recordings, and make trajectories of them.

    Args:
        inputs: activity of the input neurons or stimuli, shape ``(trajectories, steps, inputs)``, ``(steps, inputs)``
            for a single trajectory, or a list of arrays of that shape where lengths differ. A step with NaN in it is
            skipped.
        activity: of the output neurons at the same steps, shape ``(trajectories, steps, neurons)``; NaN where it was
            not recorded.
        choices: in place of activity: 1 or 0 at every step, shape ``(trajectories, steps)``; NaN where unknown.
        rewards: at every step, of the same shape; only with choices, which need them.
        learn_from: whether synapses change after choices of 1 only (accepted), or after all steps (all); of choices.
        window: the expected reward is the mean of so many rewards, zero at the start.

    Raises:
        ValueError: shapes or values are not as above; one sentence.
    """
    if (activity is None) == (choices is None):
        raise ValueError("a rule is inferred from either activity or choices: give one of them")
    if (choices is None) != (rewards is None):
        raise ValueError("rewards belong to choices, and choices need the rewards: give both or none")
    x = _trajectories("inputs", inputs, None)
    skipped = np.asarray(np.isnan(x).any(axis=2))
    notes = _told(int(skipped.sum()), skipped.size, "steps have an input that is missing, and are skipped")
    if activity is not None:
        y = _trajectories("activity", activity, x.shape[:2])
        y = np.where(skipped[..., None], np.nan, y)
        notes += _told_of_neurons(y)
        return Recorded(np.where(skipped[..., None], 0.0, x), _some(y), (~skipped).astype(float), None, notes)
    said = [
        _trajectories(n, _with_axis(v), x.shape[:2])[..., 0] for n, v in (("choices", choices), ("rewards", rewards))
    ]
    choice, reward = (np.where(skipped, np.nan, one) for one in said)
    if not np.isin(choice[~np.isnan(choice)], (0, 1)).all():
        raise ValueError("choices are 1 or 0, or NaN where they are unknown")
    unknown = np.isnan(choice) & ~skipped
    learns = ~skipped & ~unknown if learn_from == "all" else choice == 1
    lost = learns & np.isnan(reward)
    notes += _told(int(unknown.sum()), skipped.size, "choices are missing: they are not scored, and nothing is learned")
    notes += _told(int(lost.sum()), int(learns.sum()), "rewards are missing: nothing is learned from these steps")
    learns &= ~lost
    surprise = _surprise(np.where(learns, reward, 0.0), learns, window)
    x = np.where(skipped[..., None], 0.0, x)
    return Recorded(x, _some(choice[..., None]), learns.astype(float), surprise[..., None], notes)


def _surprise(rewards: np.ndarray, learns: np.ndarray, window: int) -> np.ndarray:
    """Rewards minus the mean of the last ones before, where something is learned; else 0."""
    if window < 1:
        raise ValueError(f"the expected reward is the mean of at least one reward, not of {window}")
    found = np.zeros_like(rewards)
    for row, (reward, learned) in enumerate(zip(rewards, learns, strict=True)):
        at = np.flatnonzero(learned)
        sums = np.concatenate([[0.0], np.cumsum(reward[at])])
        before = np.arange(len(at))
        found[row, at] = reward[at] - (sums[before] - sums[np.maximum(before - window, 0)]) / window
    return found


def _with_axis(values: Any) -> Any:
    """Choices or rewards with an axis for the one number per step."""
    if isinstance(values, list | tuple) and len({np.shape(one) for one in values}) != 1:
        return [np.asarray(one)[..., None] for one in values]
    array = np.asarray(values)
    return array[..., None]


def _trajectories(name: str, values: Any, leading: tuple[int, ...] | None) -> np.ndarray:
    """Numbers of shape ``(trajectories, steps, ...)``, shorter trajectories filled up with NaN."""
    if isinstance(values, Sequence) and len({np.shape(one) for one in values}) != 1:
        longest = max(len(one) for one in values)
        values = np.stack(
            [
                np.pad(np.asarray(one, float), ((0, longest - len(one)), (0, 0)), constant_values=np.nan)
                for one in values
            ]
        )
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be numbers, not of dtype {array.dtype}")
    array = array.astype(float)
    array = array[None] if array.ndim == 2 else array
    if array.ndim != 3 or 0 in array.shape:
        raise ValueError(f"{name} must have a shape (trajectories, steps, ...), not {array.shape}")
    if leading is not None and array.shape[:2] != leading:
        raise ValueError(
            f"inputs have {leading[0]} trajectories of {leading[1]} steps, but {name} {array.shape[0]} of"
            f" {array.shape[1]}"
        )
    if np.isinf(array).any():
        raise ValueError(f"{name} must be finite, or NaN where it is missing")
    return array


def _some(y: np.ndarray) -> np.ndarray:
    if np.isnan(y).all():
        raise ValueError("nothing was recorded that a rule could be inferred from: all of it is NaN")
    return y


def _told(count: int, of: int, what: str) -> tuple[str, ...]:
    return (f"{count:,} of {of:,} {what}",) if count else ()


def _told_of_neurons(y: np.ndarray) -> tuple[str, ...]:
    never = np.flatnonzero(np.isnan(y).all(axis=(0, 1)))
    rest = int(np.isnan(np.delete(y, never, axis=2)).all(axis=2).sum())
    told = _told(len(never), y.shape[2], "output neurons were never recorded, and are simulated but not scored")
    return told + _told(rest, y.shape[0] * y.shape[1], "steps have no recorded activity, and are not scored")
