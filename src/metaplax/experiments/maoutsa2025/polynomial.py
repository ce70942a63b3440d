"""A polynomial three-factor rule in a rate network, and the estimator of its meta-gradient as published."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from metaplax.estimators import AbstractEstimator, MetaGradient
from metaplax.estimators.base import parametrised
from metaplax.experiments.miconi2017.reward_learning import last_of, network_for
from metaplax.feedback import Symmetric
from metaplax.feedback.modulators import RewardPrediction
from metaplax.learners import AbstractInvertibleLearner, IncompatibleError, PlasticLearner, freeze
from metaplax.plasticity import AbstractTerm, Decay, Eligibility, FluctuationPolynomial, Rule, StepLimit, shared
from metaplax.tasks import AbstractTrials, Episode
from metaplax.tasks.working_memory import TYPES


class Forgetting(AbstractTerm):
    """``-W / tau``: weights decay with a time constant in steps, which is meta-learned as its logarithm."""

    name, sign = "forgetting", -1
    text, latex = "Wₗ / τ", r"W_\ell / \tau"
    log_tau: Float[Array, ""]

    def __call__(self, signals) -> Decay:
        return Decay(jnp.exp(-self.log_tau))


def polynomial_learner(
    task: AbstractTrials, theta: Float[Array, "k l"], tau_e: float, tau_w: float, scored: int, silent: int, clip: float
) -> PlasticLearner:
    """A network that learns by ``Delta W = (R - mean of R) E - W / tau_w`` after every trial; see ``Rule``.

    Meta-parameters are the coefficients of the polynomial that drives the trace ``E``, and both time constants.

    Args:
        task: what the network learns.
        theta: coefficients at the start; row ``k``, column ``l``.
        tau_e: time constant of the trace in steps.
        tau_w: time constant of the decay of the weights in trials.
        scored: steps at the end of a trial that are scored.
        silent: trials at the start in which weights only decay.
        clip: largest sum of the changes of a weight in one trial.
    """
    terms = (
        Eligibility(FluctuationPolynomial(theta), tau_e),
        Forgetting(log_tau=jnp.log(jnp.asarray(tau_w * task.steps, float))),
    )
    network = network_for(task)
    rule = Rule(terms, shared([1.0, 1.0]), network.only_recurrent(2), limit=StepLimit(forgetting=None, entry=clip))
    expected = RewardPrediction(3.0, types=TYPES, type_of=last_of, silent=silent)
    learner = PlasticLearner(network, rule, Symmetric(), modulator=expected, scored=scored)
    return freeze(learner, lambda learner: learner.rule.coefficients)


class Immediate(AbstractEstimator):
    """The sum over synapses of what every meta-parameter does to the change of the weight in the same trial.

    For a coefficient of the trace that is ``(R - mean of R) sum_ij dE_ij / dtheta`` in every trial, the estimator of
    Maoutsa (2025), of which the negative is given here, as the gradient of a loss. It is biased: that a change of the
    weights acts on later activity and rewards is left out, and the sign of that action, too. Time ``O(T P)``, memory
    ``O(P)``. Needs a learner that can be differentiated within one update.
    """

    why_zero = "the changes of the weights depend on no meta-parameter"

    def check(self, learner, episode=None) -> None:
        if not isinstance(learner, AbstractInvertibleLearner):
            raise IncompatibleError(f"Immediate needs a learner that changes weights, not {type(learner).__name__}")
        super().check(learner, episode)

    def value_and_grad(self, learner, episode: Episode, key: Key[Array, ""]) -> MetaGradient:
        parameters, learner_of = parametrised(learner)
        init_key, adapt_key = jax.random.split(key)
        start = learner.init(init_key)
        seen = learner.precompute(episode.support)

        def step(carry: tuple[PyTree, PyTree], inputs: tuple[PyTree, Array]) -> tuple[PyTree, None]:
            state, total = carry
            example, index = inputs

            def changed(parameters: PyTree) -> tuple[Array, PyTree]:
                after = learner_of(parameters).update(state, example, jax.random.fold_in(adapt_key, index))
                return -sum((jnp.sum(weight) for weight in after.weights), start=jnp.zeros(())), after

            found, after = jax.grad(changed, has_aux=True)(parameters)
            return (after, jax.tree.map(jnp.add, total, found)), None

        zero = jax.tree.map(jnp.zeros_like, parameters)
        steps = jnp.arange(jax.tree.leaves(seen)[0].shape[0])
        (state, gradient), _ = jax.lax.scan(step, (start, zero), (seen, steps))
        loss, metrics = learner.evaluate(state, episode.query)
        return MetaGradient(loss, metrics, gradient)
