"""What the experiments on familiarity record of a rule, and how they meta-learn it."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from metaplax.learners import PlasticLearner
from metaplax.networks import Summed
from metaplax.plasticity import Scaled, WeightDecay

PAPER = "Tyulmankov, Yang & Abbott (2022)"


def drawn(learner: PlasticLearner, key: Key[Array, ""]) -> PlasticLearner:
    """The learner at the start of a trial: a fresh draw, in which shared weights to the output are -1."""
    fresh: Any = learner.resample(key)
    if not isinstance(fresh.network.connections[-1].wiring, Summed):
        return fresh
    return eqx.tree_at(lambda it: it.start[-1], fresh, jnp.array([[-1.0, 0.0]]))


def strengths(learner: PlasticLearner) -> dict[str, Float[Array, ""]]:
    """What is recorded of the rule: ``lambda``, ``eta`` of its first term, and ``eta`` times the number of inputs."""
    rule, layer = learner.rule, learner.network.fast_connections[0] + 1  # pyright: ignore[reportAttributeAccessIssue]
    first = rule.terms[0]
    eta = rule.coefficient(layer, 0) * (first.size if isinstance(first, Scaled) else 1.0)
    decays = [k for k, term in enumerate(rule.terms) if isinstance(term, WeightDecay)]
    kept = 1.0 - sum((rule.coefficient(layer, k) for k in decays), start=jnp.zeros(()))
    return {"lambda": kept, "eta": eta, "eta_d": eta * learner.network.inputs[0]}


def optimizer(learner: PlasticLearner, rate: float) -> optax.GradientTransformation:
    """Adam, after which ``lambda`` comes back to [0, 1]; Adam is not told."""
    decays = [k for k, term in enumerate(learner.rule.terms) if isinstance(term, WeightDecay)]
    values = lambda tree: tree.rule.coefficients.values  # noqa: E731

    def update(updates, state, params=None):
        before, step = values(params), values(updates)
        for k in decays:
            step = step.at[k].set(jnp.clip(before[k] + step[k], 0.0, 1.0) - before[k])
        return eqx.tree_at(values, updates, step), state

    return optax.chain(optax.adam(rate), optax.GradientTransformation(lambda params: optax.EmptyState(), update))
