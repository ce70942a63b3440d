"""The wheel bandit: what was meta-learned on small wheels decides where to explore on large ones.

Zucchet et al., A contrastive rule for meta-learning, NeurIPS 2022, section 5.5.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from metaplax.analysis import Quantity
from metaplax.data import ImageSet
from metaplax.experiments.base import AbstractExperiment, AbstractStudy, ConfigError, Load
from metaplax.experiments.presets import load_presets, load_settings, load_tables
from metaplax.experiments.studies.meta_training import MetaTraining
from metaplax.experiments.zucchet2022.bandits.agents import NeuralGreedy, Uniform
from metaplax.experiments.zucchet2022.bandits.game import AbstractAgent
from metaplax.experiments.zucchet2022.bandits.regression_agents import LinFullPost, LinGreedy, NeuralLinear
from metaplax.experiments.zucchet2022.bandits.study import BanditStudy
from metaplax.experiments.zucchet2022.bandits.wheel import WheelTask
from metaplax.experiments.zucchet2022.settings import PAPER, AbstractSettings, Optimizer, inner_optimizer
from metaplax.learners import AbstractNetworkLearner, ComplexSynapse, GainModulation
from metaplax.networks import EquinoxNetwork, PartialSquaredError
from metaplax.runs import ReportOptions, StudyDescription

LABELS = load_tables(__file__, "labels.toml", "wheel")


@dataclass(frozen=True, kw_only=True)
class WheelSettings(AbstractSettings):
    """How one meta-learned agent is meta-trained and plays.

    For complex synapses, the pull to the consolidated weights is a mean over them.

    Attributes:
        learner: kind of learner.
        online: optimiser and learning rate of the descent between blocks of play.
        online_steps: steps of that descent.
        every: plays per block.
    """

    # The gradient of units that are never active is exactly zero.
    eps_root = 1e-8

    learner: Literal["synapse", "learned_strength", "modulation", "start"]
    online: tuple[Optimizer, float]
    online_steps: int
    every: int


@dataclass(frozen=True)
class WheelBandit(AbstractExperiment):
    """Agents play wheels of several radii delta; some of them have been meta-trained on wheels of any radius.

    Attributes:
        players: agents that play; by default all of them.
        draws: wheels that meta-training draws in all, divided into meta-batches.
        plays: contexts in a game.
        rows: number of parts of a game whose regret is recorded.
        deltas: radii at which the rims of the wheels begin, between 0 and 1.
        hidden: neurons of each of the two hidden layers.
        tuned_for: which learning rates are used: those published (paper), or next to no steps (smoke).
        as_released: do what the published code does with gain modulation: gains, shifts and readout start where they
            were drawn, in place of being pulled to meta-learned values.
    """

    name = "zucchet2022/wheel-bandit"
    title = "Agents with meta-learned synapses or modulation on the wheel bandit"
    source: ClassVar[str] = PAPER
    labels: ClassVar[Mapping[str, str]] = LABELS
    settings: ClassVar = load_settings(__file__, "wheel_bandit_settings.toml", WheelSettings)
    presets = load_presets(__file__, "wheel-bandit")

    trials: int = 50
    data: str = "none"
    players: tuple[str, ...] = tuple(LABELS)
    draws: int = 6400
    plays: int = 80_000
    rows: int = 80
    deltas: tuple[float, ...] = (0.5, 0.7, 0.9, 0.95, 0.99)
    hidden: int = 100
    tuned_for: Literal["paper", "smoke"] = "paper"
    as_released: bool = False

    def __post_init__(self):
        super().__post_init__()
        self.require_positive("draws", "plays", "rows", "hidden")
        self.require_some("players", LABELS)
        if not self.deltas or not all(0 <= delta < 1 for delta in self.deltas):
            raise ConfigError(f"the rim of a wheel begins between 0 and 1, not at {self.deltas}")
        if len({where(delta) for delta in self.deltas}) < len(self.deltas):
            raise ConfigError(f"deltas must differ by at least 0.01, but are {self.deltas}")

    def report_options(self) -> ReportOptions:
        return ReportOptions(20, "meta-step", headline=("regret", "loss"), loss_unit="squared reward", by_cost=True)

    def describe(self, study: str) -> StudyDescription:
        found, deltas = super().describe(study), {where(delta): delta for delta in self.deltas}
        return replace(found, group=f"delta = {deltas[found.condition]:g}") if found.condition in deltas else found

    def studies(self, data: ImageSet, load: Load) -> dict[str, AbstractStudy]:
        del data, load
        trainings = {arm: self._training(arm) for arm in self.settings[self.tuned_for] if arm in self.players}
        found: dict[str, AbstractStudy] = dict(trainings)
        for delta, (arm, agent) in product(self.deltas, self.agents().items()):
            name, learned = f"{arm}.{where(delta)}", (arm, trainings[arm]) if arm in trainings else (None, None)
            found[name] = BanditStudy(name, agent, delta, self.plays, self.rows, *learned)
        return found

    def agents(self) -> dict[str, AbstractAgent]:
        """The agents by short name."""
        small = {"every": 10, "steps": 2} if self.tuned_for == "smoke" else {}
        known: dict[str, AbstractAgent] = {
            "uniform": Uniform(),
            "lin_greedy": LinGreedy(),
            "lin_full_post": LinFullPost(),
            "neural_linear": NeuralLinear(width=self.hidden, **small),
        }
        for arm, settings in self.settings[self.tuned_for].items():
            online = inner_optimizer(*settings.online, settings.eps_root)
            known[arm] = NeuralGreedy(settings.every, self.learner(arm), online, settings.online_steps)
        return {arm: known[arm] for arm in self.players}

    def _training(self, arm: str) -> MetaTraining:
        settings, learner, task = self.settings[self.tuned_for][arm], self.learner(arm), WheelTask()
        optimizer, batch = optax.adam(settings.outer_rate), settings.meta_batch
        meta_steps = max(1, self.draws // batch)
        return MetaTraining(learner, task, settings.estimator(), optimizer, meta_steps, meta_batch=batch)

    def learner(self, arm: str) -> AbstractNetworkLearner:
        """The learner of one arm, at the start of meta-training."""
        settings = self.settings[self.tuned_for][arm]
        modulates, strengths = settings.learner == "modulation", settings.learner == "learned_strength"
        network = EquinoxNetwork(partial(_network, self.hidden, jax.nn.tanh if modulates else jax.nn.relu))
        shared = network, PartialSquaredError(), settings.descent()
        if modulates:
            drawn = {} if self.as_released else {"learn_start": True, "strength": settings.strength}
            return GainModulation(*shared, **drawn)
        return ComplexSynapse(
            *shared, settings.strength, log_space=strengths, learn_strength=strengths, reduction="mean", factor=1.0
        )

    def findings(self, quantities: Mapping[str, Quantity], studies: Mapping[str, AbstractStudy]) -> tuple[str, ...]:
        found = []
        for arm in self.agents():
            regrets = [(delta, quantities.get(f"regret.{arm}.{where(delta)}")) for delta in self.deltas]
            parts = [f"{regret.with_interval(100.0)} at {delta:g}" for delta, regret in regrets if regret]
            if parts:
                found.append(f"{self.label(arm)}: regret in % of random actions {', '.join(parts)}")
        return tuple(found)


def where(delta: float) -> str:
    """The condition of wheels with this delta, in the names of studies."""
    return f"delta{round(100 * delta)}"


def _network(hidden: int, activation: Callable, key: jax.Array) -> eqx.nn.MLP:
    """A network with two hidden layers, weights of variance one over fan-in, and biases that start at zero."""
    network = eqx.nn.MLP(2, 5, hidden, 2, activation, key=key)
    draw, keys = jax.nn.initializers.lecun_uniform(in_axis=1, out_axis=0), jax.random.split(key, len(network.layers))
    weights = [draw(k, layer.weight.shape) for layer, k in zip(network.layers, keys, strict=True)]
    network = eqx.tree_at(lambda tree: [layer.weight for layer in tree.layers], network, weights)
    return eqx.tree_at(lambda tree: [layer.bias for layer in tree.layers], network, replace_fn=jnp.zeros_like)
