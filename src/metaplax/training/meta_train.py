"""The only outer loop: draw episodes, estimate the meta-gradient, take one optax step, record."""

from jaxtyping import Array, Key, PyTree

from metaplax.estimators import AbstractEstimator
from metaplax.learners import AbstractLearner, with_trainable
from metaplax.runs import (
    AbstractProgress,
    AbstractRecorder,
    Interruption,
    MemoryRecorder,
    NoProgress,
    NotebookProgress,
    is_notebook,
)
from metaplax.tasks import AbstractTask
from metaplax.training.launch import Training, launch
from metaplax.training.layout import Layout
from metaplax.training.result import MetaTrained
from metaplax.training.rollback import Rollback
from metaplax.training.search_step import Optimizer


def meta_train(
    learner: AbstractLearner,
    tasks: AbstractTask,
    estimator: AbstractEstimator | None,
    optimizer: Optimizer,
    meta_steps: int,
    *,
    key: Key[Array, ""],
    trials: int = 1,
    meta_batch: int = 1,
    resample: bool = False,
    trainable: PyTree | None = None,
    patience: int | None = 10,
    rollback: Rollback | None = None,
    layout: Layout = "auto",
    recorder: AbstractRecorder | None = None,
    progress: AbstractProgress | None = None,
    interruption: Interruption | None = None,
) -> MetaTrained:
    """Meta-learn a learner's parameters on a distribution of tasks.

    Meta-training starts from the learner as it is given and changes the arrays that
    ``trainable`` marks, and no others. The episodes are a pure function of (``key``, trial,
    meta-step, index in the batch), so that a run can be resumed without any state of a data loader, and two learners
    can be compared on the same episodes.

    An episode whose loss or gradient is not finite has exploded: it is left out and counted. What else the estimator
    reports to be wrong is counted under the name of its ``RESULTS``, one number per meta-step.

    Args:
        learner: where to start.
        tasks: distribution of episodes.
        estimator: how the meta-gradient is obtained; ``None`` for an optimiser that needs none.
        optimizer: the outer optimiser, of optax; or one that compares a population, ``metaplax.optim.Evosax``.
        meta_steps: number of outer steps.
        key: seed of everything random.
        trials: independent repetitions, each with episodes of its own.
        meta_batch: episodes per meta-step; their meta-gradients are averaged.
        resample: whether every trial starts with a fresh draw, ``resample``, in
            place of the learner as it is given. What is frozen stays in any case.
        trainable: which arrays are meta-learned, if not those that are so by default: booleans in the structure of the
            learner, or a prefix of it, as ``equinox.filter`` takes them.
        patience: give up after so many meta-steps in a row in which every episode exploded; ``None`` for never, then
            the losses of such a trial are NaN and its meta-parameters stay as they are.
        rollback: when to go back to earlier parameters; by default never.
        layout: how trials and episodes are laid out over devices, see ``choose_layout``.
        recorder: where rows and checkpoints go; by default rows are kept in memory.
        progress: shows how far it is; by default a line in a notebook, and nothing elsewhere.
        interruption: asked after every step whether to stop.

    Raises:
        IncompatibleError: task, learner and estimator do not fit together, or the meta-gradient would be zero by
            construction (before anything compiles).
        ValueError: a number is below one, ``layout`` is unknown, or a population cannot search so many parameters.
        CheckpointError: more steps are done already than are asked for.
        DivergedError: ``patience`` meta-steps in a row had no episode that counts, or parameters are not finite after
            the last one; the message names the cause.
        Interrupted: ``interruption`` asked to stop; a checkpoint was written before.
        RuntimeError: this process was forked from one that has trained.
    """
    learner = learner if trainable is None else with_trainable(learner, trainable)
    training = Training(
        learner, tasks, estimator, optimizer, meta_steps, key, recorder or MemoryRecorder(), trials, meta_batch,
        resample, patience, rollback,
    )  # fmt: skip
    return launch([training], layout, progress or usual_progress(), interruption or Interruption())[0]


def usual_progress() -> AbstractProgress:
    """What shows how far meta-training is, if nothing else is asked for."""
    return NotebookProgress("meta-training") if is_notebook() else NoProgress()
