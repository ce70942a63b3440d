"""Which eligibilities estimate the gradient, as node perturbation does, without being told the perturbation.

Miconi, eLife 6:e20899, 2017, comparison of eligibility traces.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from metaplax.data import ImageSet
from metaplax.experiments.base import AbstractExperiment, AbstractStudy, ConfigError, Load
from metaplax.experiments.miconi2017.dnms import PAPER
from metaplax.experiments.presets import load_presets
from metaplax.experiments.studies.measured import Measured
from metaplax.networks import RateNetwork, TargetLevels
from metaplax.plasticity import Fluctuation, NodePerturbation, Signals
from metaplax.plasticity.applied import over_sequence
from metaplax.runs import ReportOptions

STEPS, SHOWN, SCORED, PULSE = 300, 100, 200, 210
"""Of a trial: steps in all, of the input, before the score, before the perturbation."""
INPUTS, SIZE, STRENGTH = 10, 0.2, 16.0

ARMS: dict[str, tuple[str, Fluctuation, int]] = {
    "cube": ("cube", Fluctuation(3.0, after=SCORED + 1), STEPS),
    "square": ("signed square", Fluctuation(2.0, after=SCORED + 1), STEPS),
    "fluctuation_cube": ("cube of the fluctuation only", Fluctuation(3.0, post_only=True, after=SCORED + 1), STEPS),
    "window": ("linear, 11 ms after the perturbation", Fluctuation(1.0, after=PULSE), PULSE + 11),
    "identity": ("linear", Fluctuation(1.0, after=SCORED + 1), STEPS),
    "root": ("signed square root", Fluctuation(0.5, after=SCORED + 1), STEPS),
}
"""Every eligibility: its label, the term, and where it ends."""


def eligibility(term: Fluctuation | NodePerturbation, signals: Signals, steps: int) -> Float[Array, " pre"]:
    """What a term gathers in the first steps of a trial, for the synapses of the only post-synaptic neuron."""
    seen = jax.tree.map(lambda leaf: leaf if leaf is signals.weight else leaf[:steps], signals)
    memory = term.init(*signals.weight.shape) if isinstance(term, Fluctuation) else ()
    return over_sequence(term, seen, memory)[0].dense(signals.weight)[0]


@dataclass(frozen=True)
class Agreement:
    """Correlation of an eligibility, times what the perturbation did to the error, with that of node perturbation.

    Attributes:
        term: the eligibility.
        until: step at which it ends.
        neurons: size of the network, which is drawn anew in every repetition.
        pairs: pairs of trials, without and with a perturbation, of each of which one synapse is looked at.
    """

    term: Fluctuation
    until: int
    neurons: int
    pairs: int

    def __call__(self, given: tuple[()], key: Key[Array, ""]) -> dict[str, Array]:
        del given
        network = RateNetwork(INPUTS, self.neurons, readout=TargetLevels())
        weights = network.init(jax.random.fold_in(key, 0))
        ours, exact = jax.lax.map(lambda key: self._pair(network, weights, key), jax.random.split(key, self.pairs))
        same = jnp.mean(jnp.sign(ours) == jnp.sign(exact), dtype=ours.dtype)
        return {"correlation": jnp.corrcoef(ours, exact)[0, 1], "same_sign": same}

    def _pair(self, network: RateNetwork, weights: PyTree, key: Key[Array, ""]) -> tuple[Array, Array]:
        """The estimates of one synapse of the output neuron, by this eligibility and by node perturbation."""
        input_key, sign_key, key = jax.random.split(key, 3)
        shown = jax.random.uniform(input_key, (INPUTS,), minval=-1.0, maxval=1.0)
        x = jnp.zeros((STEPS, INPUTS + self.neurons)).at[:SHOWN, :INPUTS].set(SIZE * shown)
        kicked = x.at[PULSE, INPUTS].set(STRENGTH * jax.random.rademacher(sign_key, (), float))
        runs = [network.run(weights, one) for one in (x, kicked)]
        expected, error = (jnp.mean(jnp.abs(run.logits[SCORED:, 0] - jnp.sign(jnp.sum(shown)))) for run in runs)
        activity, among = runs[1], weights[1]
        nothing = jnp.zeros_like(activity.z[0])
        signals = Signals(
            activity.before[1], activity.y[1][:, :1], nothing, nothing[:, :1], activity.z[0][:, :1], among[:1],
            perturbation=kicked[:, INPUTS : INPUTS + 1],
        )  # fmt: skip
        synapse = jax.random.randint(key, (), 0, self.neurons)
        traces = eligibility(self.term, signals, self.until), eligibility(NodePerturbation(), signals, STEPS)
        ours, exact = (-(error - expected) * trace[synapse] for trace in traces)
        return ours, exact


@dataclass(frozen=True)
class Gradient(AbstractExperiment):
    """A random network that does not learn is perturbed, and eligibilities are compared with the perturbation itself.

    Attributes:
        arms: eligibilities to compare.
        pairs: pairs of trials of each network.
        neurons: size of the network.
    """

    name = "miconi2017/gradient"
    title = "Which eligibilities estimate the gradient"
    source: ClassVar[str] = PAPER
    labels: ClassVar = {arm: label for arm, (label, _, _) in ARMS.items()}
    presets = load_presets(__file__, "gradient")

    trials: int = 8
    data: str = "none"
    arms: tuple[str, ...] = tuple(ARMS)
    pairs: int = 253
    neurons: int = 200

    def __post_init__(self):
        super().__post_init__()
        self.require_some("arms", ARMS)
        self.require_positive("neurons")
        if self.pairs < 3:
            raise ConfigError(f"a correlation needs at least 3 pairs of trials, not {self.pairs}")

    def report_options(self) -> ReportOptions:
        return ReportOptions(1, "network", headline=("correlation", "same_sign"))

    def studies(self, data: ImageSet, load: Load) -> dict[str, AbstractStudy]:
        del data, load
        return {arm: Measured(Agreement(*ARMS[arm][1:], self.neurons, self.pairs)) for arm in self.arms}
