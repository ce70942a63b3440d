"""One small learner of every kind, with an episode that it learns from, and one estimator of every kind."""

from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

import metaplax as mp
from metaplax.estimators import (
    T1T2,
    AbstractEstimator,
    Checkpointed,
    ConjugateGradient,
    Contrastive,
    EvolutionStrategies,
    ForwardGradient,
    ForwardMode,
    ImplicitDirect,
    Neumann,
    PersistentES,
    Reptile,
    Reverse,
    Reversible,
    Truncated,
)
from metaplax.learners import (
    BPTT,
    AbstractLearner,
    ComplexSynapse,
    Descent,
    EProp,
    FeedbackPlasticity,
    GainModulation,
    MetaRegularised,
    OnlineGradient,
    SpikingLearner,
)
from metaplax.networks import (
    ConvBlocks,
    DenseEncoder,
    EncoderMLP,
    EquinoxNetwork,
    FastReadout,
    MeanSquaredError,
    RecurrentLIF,
    SoftmaxCrossEntropy,
    SquaredError,
    Tanh,
)
from metaplax.tasks import AbstractTask, Episode, Examples, SpikingSinusoids

KEY = jax.random.key(4)
DENSE = EquinoxNetwork(lambda key: eqx.nn.MLP(3, 2, 4, 1, jnp.tanh, key=key))
ENCODED = EncoderMLP(DenseEncoder((3, 4)), (4, 2), MeanSquaredError())
CLASSES = EncoderMLP(DenseEncoder((3, 4)), (4, 3), SoftmaxCrossEntropy())
MLP = mp.MLP((3, 4, 3), Tanh())
STEPS = Descent(optax.sgd(0.1), 6)


class Drawn(AbstractTask):
    """Random inputs, with targets that are a random function of them.

    Attributes:
        shape: of one input.
        outputs: how many numbers a target is; 0 for classes.
        leading: leading axes of the support set.
        labels: how many classes there are.
    """

    shape: tuple[int, ...] = eqx.field(static=True, default=(3,))
    outputs: int = eqx.field(static=True, default=2)
    leading: tuple[int, ...] = eqx.field(static=True, default=(6,))
    labels: int = eqx.field(static=True, default=3)

    @property
    def classes(self):
        return None if self.outputs else self.labels

    def sample(self, key):
        keys = jax.random.split(key)
        return Episode(self._part(keys[0], self.leading), self._part(keys[1], (6,)))

    def _part(self, key, leading):
        x_key, y_key = jax.random.split(key)
        x = jax.random.normal(x_key, (*leading, *self.shape))
        if self.outputs:
            return Examples(x, jax.random.normal(y_key, (*leading, self.outputs)))
        return Examples(x, jax.random.randint(y_key, leading, 0, self.labels, jnp.int32))


@dataclass(frozen=True)
class Case:
    """A learner and what it learns.

    Attributes:
        make: makes the learner.
        task: distribution of episodes.
        smooth: whether the outer loss can be differentiated by finite differences.
    """

    make: Callable[[], AbstractLearner]
    task: AbstractTask
    smooth: bool = True


def _images() -> Drawn:
    return Drawn((4, 4, 1), outputs=0, leading=(3,))


LIF = RecurrentLIF(6, 4, gains=(3.0, 1.0, 1.0))
SPIKES = SpikingSinusoids(3, 3, 6, 6, 0.2)
LEARNERS: dict[str, Case] = {
    "OnlinePlasticity": Case(
        lambda: mp.OnlinePlasticity(MLP, mp.rules.f_bio(), mp.feedback.ChainAndDirect()), Drawn(outputs=0)
    ),
    "FeedbackPlasticity, classes": Case(
        lambda: FeedbackPlasticity(CLASSES, KEY, plasticity=0.1, mixing=0.5), Drawn(outputs=0, leading=(5, 1))
    ),
    "FeedbackPlasticity, numbers": Case(
        lambda: FeedbackPlasticity(ENCODED, KEY, signal="error", output_path="drawn", plasticity=0.1, mixing=0.5),
        Drawn(leading=(5, 2)),
    ),
    "OnlineGradient, head": Case(lambda: OnlineGradient(ENCODED, KEY, rate=0.1), Drawn(leading=(5, 2))),
    "OnlineGradient, all": Case(lambda: OnlineGradient(ENCODED, KEY, rate=0.1, adapted="all"), Drawn(leading=(5, 2))),
    "OnlineGradient, learned rates": Case(
        lambda: OnlineGradient(ENCODED, KEY, rate=0.1, adapted="all", rates="synapse"), Drawn(leading=(5, 2))
    ),
    "ComplexSynapse": Case(lambda: ComplexSynapse(DENSE, SquaredError(), STEPS, 0.3), Drawn()),
    "ComplexSynapse, no pull (MAML)": Case(
        lambda: ComplexSynapse(DENSE, SquaredError(), STEPS, 0.0, log_space=False, learn_strength=False), Drawn()
    ),
    "ComplexSynapse, local rule": Case(
        lambda: ComplexSynapse(
            MLP, STEPS, strength=0.3, direction=mp.LocalRule(mp.rules.f_bio(), mp.feedback.Learned())
        ),
        Drawn(outputs=0),
    ),
    "MetaRegularised": Case(lambda: MetaRegularised(DENSE, SquaredError(), STEPS, 0.1), Drawn()),
    "GainModulation": Case(lambda: GainModulation(DENSE, SquaredError(), STEPS), Drawn()),
    "GainModulation, learned start": Case(
        lambda: GainModulation(DENSE, SquaredError(), STEPS, learn_start=True, strength=0.3), Drawn()
    ),
    "ComplexSynapse, readout only (ANIL)": Case(
        lambda: ComplexSynapse(
            FastReadout(ConvBlocks(4, 1, (2,), outputs=3)), SoftmaxCrossEntropy(), STEPS, 0.3, log_space=False
        ),
        _images(),
    ),
    "SpikingLearner, e-prop": Case(
        lambda: SpikingLearner(LIF, EProp(), Descent(optax.sgd(0.01), 4), 0.1), SPIKES, smooth=False
    ),
    "SpikingLearner, BPTT": Case(
        lambda: SpikingLearner(LIF, BPTT(), Descent(optax.sgd(0.1), 4), 0.1), SPIKES, smooth=False
    ),
    "SpikingLearner, no pull": Case(
        lambda: SpikingLearner(LIF, EProp(), Descent(optax.sgd(0.01), 4), 0.0), SPIKES, smooth=False
    ),
}
ESTIMATORS: dict[str, AbstractEstimator] = {
    "Reversible": Reversible(),
    "Checkpointed": Checkpointed(),
    "Reverse": Reverse(),
    "ForwardMode": ForwardMode(),
    "Truncated": Truncated(2),
    "Truncated, reaches the start": Truncated(2, reach_start=True),
    "First order": Truncated(0, reach_start=True),
    "Contrastive": Contrastive(0.1),
    "Contrastive, symmetric": Contrastive(0.1, "symmetric"),
    "ConjugateGradient": ConjugateGradient(5, throw=False),
    "Neumann": Neumann(0.1, 5, throw=False),
    "T1T2": T1T2(throw=False),
    "ImplicitDirect": ImplicitDirect(throw=False),
    "Reptile": Reptile(),
    "ForwardGradient": ForwardGradient(2),
    "EvolutionStrategies": EvolutionStrategies(pairs=2, sd=1e-5),
    "PersistentES": PersistentES(2, pairs=2, sd=1e-5, reuse_noise=True),
}
EXACT = ("Reversible", "Checkpointed", "Reverse", "ForwardMode")


UNBIASED = ("ForwardGradient", "EvolutionStrategies", "PersistentES")
RUN = ("OnlinePlasticity", "OnlineGradient, head", "ComplexSynapse")
"""Learners with which those are run in every test, as a program takes seconds to compile; all are for the page."""


def shapes(case: Case) -> Episode:
    """Shapes and dtypes of an episode."""
    return jax.eval_shape(case.task.sample, KEY)
