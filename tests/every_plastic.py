"""One small case of everything that a plastic learner is made of: networks, pathways, rules and ways to update."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from metaplax.estimators import AbstractEstimator, Checkpointed, ForwardMode, Reverse, Reversible
from metaplax.feedback import (
    AbstractFeedback,
    ChainAndDirect,
    Delayed,
    Direct,
    KolenPollack,
    Learned,
    Noisy,
    PlasticFeedback,
    RandomFixed,
    SignSymmetric,
    Sparse,
    Symmetric,
    TaughtActivity,
)
from metaplax.feedback.modulators import RewardPrediction
from metaplax.learners import PlasticLearner
from metaplax.networks import (
    LIF,
    MLP,
    AbstractPlasticNetwork,
    Conv,
    Dense,
    FastSigmoid,
    LeakyReadout,
    Local,
    Recurrent,
    Sequential,
    SquaredError,
    Tanh,
)
from metaplax.plasticity import (
    BCM,
    STDP,
    AbstractTerm,
    Eligibility,
    ErrorHebb,
    Fluctuation,
    FluctuationPolynomial,
    Hebb,
    MLPTerm,
    NeuronOja,
    Oja,
    PseudoGradient,
    Rule,
    Scaled,
    SynapticScaling,
    Taught,
    Traced,
    WeightDecay,
    monomials,
    shared,
)
from metaplax.tasks import Episode, Examples

KEY = jax.random.key(3)
UPDATES, TIME, BATCH, QUERIES = 3, 3, 2, 2
IMAGE = (3, 3, 1)
PATCHES = (2, 2, 2)
"""What a layer of patches of 2 pixels makes of an image."""


def _spiking(**more) -> Sequential:
    # The pseudo-derivative is wide, so that spikes that are far away matter, too.
    layer = LIF(2, 3, decay=0.8, surrogate=FastSigmoid(2.0), **more)
    return Sequential(layer, LeakyReadout(3, 2, tau=2.0), readout=SquaredError())


def _rates(leak) -> Sequential:
    return Sequential(Recurrent(2, 3, tau=2.0, leak=leak), Dense(3, 2), readout=SquaredError())


NETWORKS: dict[str, AbstractPlasticNetwork] = {
    "MLP": MLP((3, 4, 3)),
    "MLP with biases": MLP((3, 4, 3), Tanh(), bias=True),
    "convolutional": Sequential(Conv(IMAGE, 2, 2, Tanh(), bias=True), Dense(PATCHES, 3)),
    "locally connected": Sequential(Local(IMAGE, 2, 2, Tanh(), bias=True), Dense(PATCHES, 3)),
    "rate RNN, leak of potential": _rates("potential"),
    "rate RNN, leak of activity": _rates("activity"),
    "LIF RNN": _spiking(),
    "ALIF RNN": _spiking(adaptation=0.3, adaptation_decay=0.9),
}
SPIKING = ("LIF RNN", "ALIF RNN")
WITH_TIME = frozenset(name for name, network in NETWORKS.items() if network.has_time)
PATHWAYS: dict[str, Callable[[], AbstractFeedback]] = {
    "Symmetric": Symmetric,
    "Symmetric, detached": lambda: Symmetric("detached"),
    "RandomFixed": RandomFixed,
    "SignSymmetric": SignSymmetric,
    "Direct": Direct,
    "ChainAndDirect": ChainAndDirect,
    "KolenPollack": lambda: KolenPollack(0.1),
    "PlasticFeedback": lambda: PlasticFeedback(0.5, 0.1),
    "Noisy": lambda: Noisy(RandomFixed(), 0.2),
    "Delayed": lambda: Delayed(RandomFixed()),
    "Sparse": lambda: Sparse(RandomFixed(), 0.6),
    "Learned": lambda: Learned(Direct()),
    "TaughtActivity": lambda: TaughtActivity(mixing=0.6, output_path="drawn"),
    "Noisy, delayed, learned": lambda: Noisy(Delayed(Learned(RandomFixed())), 0.2),
}
CONSTANT = ("Symmetric, detached",)
"""Pathways that the meta-gradient takes for constants, so that it is not the derivative of the outer loss."""
REMEMBERING = ("Delayed", "Noisy, delayed, learned")


def _rule(*terms: AbstractTerm) -> Rule:
    """The gradient, so that the pathway matters, and further terms; every coefficient matters."""
    return Rule((PseudoGradient(), *terms), shared([0.2] + [0.15 - 0.03 * k for k in range(len(terms))]))


RULES: dict[str, Callable[[], Rule]] = {
    "gradient": _rule,
    "F_bio": lambda: _rule(ErrorHebb(), Oja()),
    "Oja": lambda: _rule(Oja()),
    "BCM": lambda: _rule(BCM(4.0)),
    "trace": lambda: _rule(Traced(Hebb(), pre=3.0, post=2.0)),
    "STDP": lambda: _rule(STDP(3.0, 2.0)),
    "eligibility × reward": lambda: _rule(Eligibility(Hebb(), 3.0)),
    "Taylor": lambda: _rule(*monomials(1, ("pre", "post", "weight"))),
    "MLP": lambda: Rule((MLPTerm(width=3, key=KEY),), shared([1.0])).hold("mlp"),
    "synaptic scaling": lambda: _rule(SynapticScaling(0.4, 4.0)),
    "taught Oja": lambda: _rule(Taught(NeuronOja())),
    "fluctuations": lambda: _rule(
        Fluctuation(3.0, after=0), Traced(Fluctuation(2.0, post_only=True, after=0), post=2.0)
    ),
    "polynomial": lambda: _rule(FluctuationPolynomial(0.1 + jnp.eye(2), after=0)),
    "scaled, decay": lambda: _rule(Scaled(Hebb(), 0.5), WeightDecay()),
}
MODULATED = ("eligibility × reward",)
EXAMPLE, STEP, MINIBATCH = TIMES = ("after an example", "at every step", "minibatch")
"""When weights change; an example of a network with time is a sequence."""
ESTIMATORS: dict[str, AbstractEstimator] = {
    "Reversible": Reversible(),
    "Checkpointed": Checkpointed(),
    "Reverse": Reverse(),
    "ForwardMode": ForwardMode(),
}


@dataclass(frozen=True)
class Case:
    """One combination, by the names of its parts.

    Attributes:
        network: of ``NETWORKS``.
        pathway: of ``PATHWAYS``.
        rule: of ``RULES``.
        when: of ``TIMES``.
        estimator: of ``ESTIMATORS``.
        start: whether the weights at the start are ``"drawn"`` or ``"learned"``.
    """

    network: str
    pathway: str = "RandomFixed"
    rule: str = "F_bio"
    when: str = EXAMPLE
    estimator: str = "Reversible"
    start: str = "drawn"

    @property
    def refusal(self) -> str | None:
        """A part of the sentence with which the learner refuses this combination."""
        if self.network in WITH_TIME:
            return None
        if self.when == STEP:
            return "only in networks with time"
        return "needs a network with time" if self.when == MINIBATCH and self.pathway in REMEMBERING else None

    @property
    def is_smooth(self) -> bool:
        """Whether the meta-gradient is the derivative of the outer loss, not that of a surrogate of it."""
        return self.network not in SPIKING and self.pathway not in CONSTANT

    def make(self) -> PlasticLearner:
        network = NETWORKS[self.network]
        return PlasticLearner(
            network,
            RULES[self.rule](),
            PATHWAYS[self.pathway](),
            modulator=RewardPrediction(2.0) if self.rule in MODULATED else None,
            start=network.init(KEY) if self.start == "learned" else None,
            every_step=self.when == STEP,
            minibatch=self.when == MINIBATCH,
            key=KEY,
        )

    def episode(self) -> Episode:
        leading = (UPDATES, BATCH) if self.when == MINIBATCH else (UPDATES,)
        support_key, query_key = jax.random.split(KEY)
        network = NETWORKS[self.network]
        return Episode(_examples(network, leading, support_key), _examples(network, (QUERIES,), query_key))


def _examples(network: AbstractPlasticNetwork, leading: tuple[int, ...], key) -> Examples:
    x_key, y_key = jax.random.split(key)
    axes = (*leading, TIME) if network.has_time else leading
    x = jax.random.uniform(x_key, (*axes, *network.populations[0].shape))
    if network.readout.takes == "classes":
        return Examples(x, jax.random.randint(y_key, leading, 0, network.outputs, jnp.int32))
    return Examples(x, jax.random.normal(y_key, (*axes, network.outputs)))
