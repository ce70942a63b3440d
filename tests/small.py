"""Small learners and episodes that tests share."""

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np

import metaplax as mp
from metaplax.plasticity import ALL_TERMS, Rule, shared
from metaplax.tasks import AbstractTask, Episode, Examples

SIZES = (12, 9, 8, 6)
COEFFICIENTS = (0.03, 0.01, -0.02, 0.001, 0.002, 0.003, 0.01, -0.01, 0.01, 0.02)
FEEDBACK = {
    "symmetric": mp.feedback.Symmetric(),
    "random": mp.feedback.RandomFixed(),
    "direct": mp.feedback.Direct(),
    "sign_symmetric": mp.feedback.SignSymmetric(),
    "kolen_pollack": mp.feedback.KolenPollack(0.02),
}


def full_rule(sharing="global", sizes=SIZES) -> Rule:
    """All ten terms, each with a coefficient that matters."""
    return Rule(tuple(term() for term in ALL_TERMS), shared(COEFFICIENTS, sharing, sizes))


def learner(feedback="random", rule=None, sizes=SIZES, **more) -> mp.PlasticLearner:
    rule = full_rule(sizes=sizes) if rule is None else rule
    return mp.OnlinePlasticity(mp.MLP(sizes), rule, FEEDBACK[feedback], **more)


def examples(count: int, seed: int = 0, sizes=SIZES) -> Examples:
    generator = np.random.default_rng(seed)
    dtype = jnp.result_type(float)
    x = generator.uniform(size=(count, sizes[0])) * (generator.uniform(size=(count, sizes[0])) < 0.6)
    return Examples(jnp.asarray(x, dtype), jnp.asarray(generator.integers(0, sizes[-1], count), jnp.int32))


def episode(steps: int = 7, queries: int = 5) -> Episode:
    return Episode(examples(steps, 1), examples(queries, 2))


class Blobs(AbstractTask):
    """Points about one random centre per class: a task that is learned in a moment."""

    steps: int = 20

    def sample(self, key) -> Episode:
        centre_key, support_key, query_key = jax.random.split(key, 3)
        centres = jax.random.uniform(centre_key, (3, SIZES[0]))
        return Episode(self._draw(centres, self.steps, support_key), self._draw(centres, 6, query_key))

    def _draw(self, centres, count, key) -> Examples:
        y = jnp.arange(count, dtype=jnp.int32) % 3
        x = centres[y] + 0.1 * jax.random.normal(key, (count, SIZES[0]))
        return Examples(jnp.clip(x, 0, 1), y)


def reversed_loops(jaxpr) -> int:
    """How many loops run backwards, anywhere in a program."""
    found = 0
    for equation in jaxpr.eqns:
        found += equation.primitive.name == "scan" and equation.params["reverse"]
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            found += reversed_loops(inner)
    return found
