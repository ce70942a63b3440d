"""``mp.infer``: a plasticity rule inferred from recordings of one's own."""

from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Key

from metaplax.estimators import AbstractEstimator, Reverse
from metaplax.inference.identifiability import Identifiability, identifiability
from metaplax.inference.models import (
    OF_ACTIVITY,
    OF_CHOICES,
    Model,
    as_model,
    choosing_start,
    coefficients_of,
    network_rule,
    polynomial,
    replaying_activity,
    replaying_choices,
    replaying_recurrent,
)
from metaplax.inference.recorded_arrays import LearnFrom, Recorded, recorded
from metaplax.inference.replay import explained
from metaplax.learners import PlasticLearner, split
from metaplax.networks import AbstractActivation, BinaryCrossEntropy, Sigmoid
from metaplax.optim import full_matrix_adam, per_field
from metaplax.plasticity import L1, Rule
from metaplax.tasks import Recordings
from metaplax.training import meta_train

Family = Literal["taylor", "mlp"]


@dataclass(frozen=True)
class Inferred:
    """What was inferred from recordings.

    Attributes:
        model: what was fitted, see ``as_model``.
        learner: with the rule and the initial weights that were fitted.
        coefficients: of a polynomial rule, by name of the term: ``p`` and the powers of what a synapse sees.
        bootstrap: coefficients of every refit to trajectories drawn with replacement, by name; empty without any.
        explained: percent of the misfit of the null model, which has initial weights that are not fitted and no
            plasticity, that is explained; for every trajectory that was fitted.
        explained_held_out: the same for those that were not.
        notes: what was missing in the recordings, and other reservations, in sentences.
    """

    model: Model
    learner: PlasticLearner
    coefficients: dict[str, float]
    bootstrap: dict[str, np.ndarray]
    explained: np.ndarray
    explained_held_out: np.ndarray
    notes: tuple[str, ...]
    _fitted: Recordings = field(repr=False)

    @property
    def rule(self) -> Rule:
        """The rule."""
        return self.learner.rule

    @cached_property
    def identifiability(self) -> Identifiability | None:
        """How well the data determine the coefficients; ``None`` of a rule that is no polynomial or was not fitted."""
        fitted = self.coefficients and self.model in ("full", "rule")
        return identifiability(self.learner, self._fitted) if fitted else None

    def as_json(self) -> dict[str, Any]:
        """All of it as plain numbers and text; numbers that are not finite are ``None``."""
        about = self.identifiability
        finite = lambda values: [float(v) if np.isfinite(v) else None for v in values]  # noqa: E731
        found: dict[str, Any] = {
            "model": self.model,
            "rule": str(self.rule),
            "coefficients": self.coefficients,
            "explained_percent": finite(self.explained),
            "explained_percent_held_out": finite(self.explained_held_out),
            "notes": list(self.notes),
        }
        if self.bootstrap:
            found["bootstrap"] = {name: finite(values) for name, values in self.bootstrap.items()}
        if about is not None:
            found["standard_errors"] = dict(zip(about.names, finite(about.standard_errors), strict=True))
            found["slack_alone"] = dict(zip(about.names, finite(about.slack_alone), strict=True))
            found["slack"] = dict(zip(about.names, finite(about.slack), strict=True))
            found["correlations"] = [finite(row) for row in about.correlations]
            found["warnings"] = list(about.warnings)
        return found


def infer(
    inputs: Any,
    *,
    activity: Any = None,
    choices: Any = None,
    rewards: Any = None,
    rule: Family | Rule = "taylor",
    degree: int = 2,
    model: Model | None = None,
    start: Any = None,
    activation: AbstractActivation | None = Sigmoid(),  # noqa: B008
    recurrent: bool = False,
    hidden: int = 10,
    learn_from: LearnFrom = "accepted",
    window: int = 10,
    held_out: float = 0.2,
    bootstrap: int = 0,
    penalty: float | None = None,
    meta_steps: int = 1000,
    rate: float = 0.01,
    estimator: AbstractEstimator | None = None,
    key: Key[Array, ""] | None = None,
) -> Inferred:
    """Infer a plasticity rule from recorded activity, or from choices and rewards.

    The experiment is replayed with a rule, from its inputs, choices and rewards; the rule is fitted to what was
    recorded, step by step, by differentiating through the whole replay.

    Args:
        inputs: see ``recorded``; so are ``activity``, ``choices``, ``rewards``, ``learn_from`` and ``window``.
        activity: of the output neurons.
        choices: in place of activity.
        rewards: that followed the choices.
        rule: a polynomial (taylor), a small network (mlp), or any rule whose terms see what there is.
        degree: largest power in a polynomial, of each signal; of the weight one where choices were recorded.
        model: what is fitted: the rule and the initial weights (full), one of them (rule, weights), or nothing (null).
            By default the rule alone, and with activity whose initial weights are not known both.
        start: initial weights, where they are known, of shape ``(neurons, inputs)``, or one such matrix for each
            trajectory; only with activity.
        activation: of the output neurons whose activity was recorded; ``None`` for linear ones.
        recurrent: whether the neurons whose activity was recorded reach one another by plastic synapses, too, see
            ``replaying_recurrent``; their initial weights are then not known, and inputs may be missing at the end of a
            trajectory only.
        hidden: neurons between inputs and choice, which is all that is assumed about them.
        held_out: fraction of the trajectories, the last ones, that the rule is not inferred from but scored on.
        bootstrap: how often the rule is fitted again, to trajectories drawn with replacement.
        penalty: factor of the L1 penalty on coefficients; by default 1e-6 for activity and 0.03 for choices, which
            are those of the experiments ``mehta2024/oja`` and ``mehta2024/choices``.
        meta_steps: steps of the outer optimiser, each on one trajectory.
        rate: its learning rate at the start; it falls to zero along half a cosine.
        estimator: of the meta-gradient; by default ``Reverse``.
        key: randomness; by default that of seed 0.

    Raises:
        ValueError: the recordings or the arguments make no sense; one sentence.
        DivergedError: no finite fit was found.

    Source: Mehta et al. (2024); the four models: A. Pelevin, RNN_plasticity_inference.
    """
    seen = recorded(inputs, activity=activity, choices=choices, rewards=rewards, learn_from=learn_from, window=window)
    if not 0 <= held_out < 1 or bootstrap < 0:
        raise ValueError(f"held_out is a fraction below 1 and bootstrap not negative, not {held_out} and {bootstrap}")
    count = len(seen.x)
    kept = count - min(int(np.ceil(held_out * count)) if held_out else 0, count - 1)
    if recurrent and (choices is not None or start is not None or activation is None):
        raise ValueError("a recurrent network takes activity, an activation, and no known initial weights")
    if recurrent and np.any(np.diff(seen.learns, axis=1) > 0):
        raise ValueError("inputs of a recurrent network may be missing at the end of a trajectory only")
    weights = None if start is None else _known(start, seen)
    key = jax.random.key(0) if key is None else key
    model = model or ("full" if choices is None and weights is None else "rule")
    strength = penalty if penalty is not None else (1e-6 if choices is None else 0.03)
    learner = as_model(_learner(seen, rule, degree, strength, weights, activation, hidden, key, recurrent), model)
    fit = lambda tasks, trials: meta_train(  # noqa: E731
        learner, tasks, estimator or Reverse(), _optimizer(learner, rate, meta_steps), meta_steps, key=key,
        trials=trials, resample=False,
    )  # fmt: skip
    part = partial(seen.task, start=weights, sequence=recurrent)
    task, further = part(slice(kept)), part(slice(kept, None))
    found: Any = learner if model == "null" else fit(task, 1).trial(0)
    again: dict[str, np.ndarray] = {}
    if bootstrap and model != "null" and coefficients_of(found.rule):
        refits = fit(part(slice(kept), bootstrap=True), bootstrap)
        learners: list[Any] = [refits.trial(n) for n in range(bootstrap)]
        rows = [coefficients_of(it.rule) for it in learners]
        again = {name: np.asarray([row[name] for row in rows]) for name in rows[0]}
    scores = [
        np.asarray(_explained(found, learner, those)) if n else np.zeros(0)
        for n, those in ((kept, task), (count - kept, further))
    ]
    return Inferred(
        model, found, coefficients_of(found.rule), again, scores[0], scores[1], _reservations(seen, count - kept), task
    )


def _learner(
    seen: Recorded,
    rule: Family | Rule,
    degree: int,
    penalty: float,
    weights: np.ndarray | None,
    activation: AbstractActivation | None,
    hidden: int,
    key: Key[Array, ""],
    recurrent: bool,
) -> PlasticLearner:
    """The learner at the start of the fit."""
    rule_key, start_key = jax.random.split(key)
    inputs, outputs, is_choice = seen.x.shape[2], seen.y.shape[2], seen.modulators is not None
    of = OF_CHOICES if is_choice else OF_ACTIVITY
    if isinstance(rule, str):
        if rule not in ("taylor", "mlp"):
            raise ValueError(f"the rule is taylor, mlp or a Rule, not {rule!r}")
        highest: Any = {"weight": 1} if is_choice else None
        rule = network_rule(of, rule_key) if rule == "mlp" else polynomial(of, degree, highest=highest)
    penalised = L1(penalty) if penalty and not rule.held else None
    if is_choice:
        start = choosing_start(start_key, inputs, hidden)
        return replaying_choices(inputs, hidden, rule, start=start, penalty=penalised)
    if recurrent:
        shapes = zip(jax.random.split(start_key), ((outputs, inputs), (outputs, outputs)), strict=True)
        start = (*(0.1 * jax.random.normal(one, shape) for one, shape in shapes), jnp.eye(outputs))
        assert activation is not None
        return replaying_recurrent(inputs, outputs, rule, activation=activation, start=start, penalty=penalised)
    start = None if weights is not None else (0.1 * jax.random.normal(start_key, (outputs, inputs)),)
    return replaying_activity(inputs, outputs, rule, activation=activation, start=start, penalty=penalised)


def _known(start: Any, seen: Recorded) -> np.ndarray:
    """Known initial weights, one matrix for each trajectory."""
    if seen.modulators is not None:
        raise ValueError("initial weights cannot be known where choices were recorded, since the neurons are not")
    array = np.asarray(start, float)
    shape = (len(seen.x), seen.y.shape[2], seen.x.shape[2])
    if array.shape not in (shape, shape[1:]) or not np.isfinite(array).all():
        raise ValueError(f"start must be finite numbers of shape {shape[1:]} or {shape}, not of shape {array.shape}")
    return np.broadcast_to(array, shape)


def _optimizer(learner: PlasticLearner, rate: float, meta_steps: int) -> optax.GradientTransformation:
    """Adam for initial weights and for rules of choices; for rules of activity full-matrix Adam.

    These are the optimisers by which known rules were recovered in simulations: from choices, full-matrix Adam found
    coefficients that the rule did not have.
    """
    schedule = optax.cosine_decay_schedule(rate, meta_steps)
    is_choice = isinstance(learner.network.readout, BinaryCrossEntropy)
    parts = {"rule": (optax.adam if is_choice else full_matrix_adam)(schedule), "start": optax.adam(schedule)}
    parameters = split(learner)[0]
    trained = {name: step for name, step in parts.items() if jax.tree.leaves(getattr(parameters, name))}
    return per_field(trained) if trained else optax.identity()  # pyright: ignore[reportArgumentType]


@eqx.filter_jit
def _explained(learner: PlasticLearner, null: PlasticLearner, task: Recordings) -> Array:
    return jax.lax.map(lambda episode: explained(learner, episode, null), task.episodes)


def _reservations(seen: Recorded, held_out: int) -> tuple[str, ...]:
    alone = () if held_out else ("no trajectory is held out, so that the fit may be too good to be true",)
    return (*seen.notes, *alone)


def compare_models(
    inputs: Any, models: tuple[Model, ...] = ("full", "rule", "weights", "null"), **options: Any
) -> dict[Model, Inferred]:
    """The four models of unknown initial weights: what the rule explains, and what fitted initial weights explain.

    Args:
        inputs: as in ``infer``; so are all other options.
        models: which ones.
        options: of ``infer``, but for ``model`` and ``start``.
    """
    return {model: infer(inputs, model=model, **options) for model in models}
