"""Studies of agents that play the wheel bandit: how much they regret, and where they do what."""

from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PyTree

from metaplax.experiments.base import AbstractStudy, AbstractTraining, Conditions
from metaplax.experiments.studies.transfer import taken_over
from metaplax.experiments.zucchet2022.bandits import AbstractAgent, NeuralGreedy, Played, Wheel, play, start_play
from metaplax.experiments.zucchet2022.bandits.wheel import uniform_regret
from metaplax.learners import AbstractNetworkLearner, IncompatibleError, join
from metaplax.runs import Step
from metaplax.training import choose_layout

WHEELS = 0x3EE1
"""Sets the keys of wheels apart from others of a trial."""

SHOWN = 1500
"""Trials that are kept for the picture: the last so many."""


@dataclass(frozen=True)
class BanditStudy(AbstractStudy):
    """An agent plays one wheel per trial of the experiment. Agents of the same trial and wheel see the same contexts.

    Every row is the regret of one part of the game, as a fraction of what an agent that takes actions at random
    regrets on average.

    Attributes:
        name: of the study; its picture is kept under it.
        agent: who plays.
        delta: where the rim of the wheel begins.
        plays: how many contexts it sees.
        rows: parts of the game.
        origin: if the agent has a meta-learned learner, name of the study that meta-trains.
        training: that study.
    """

    name: str
    agent: AbstractAgent
    delta: float
    plays: int
    rows: int
    origin: str | None = None
    training: AbstractTraining | None = None

    @property
    def steps(self) -> int:
        return self.rows

    @property
    def fingerprint(self) -> str:
        return f"{self.plays} times {self.delta} after {self.origin} by {eqx.tree_pformat(self.agent)}"

    def check(self) -> None:
        if self.plays % (self.rows * self.agent.every):
            raise IncompatibleError(
                f"{self.plays} plays cannot be divided into {self.rows} parts of whole blocks of {self.agent.every}"
            )

    def conduct(self, conditions: Conditions) -> None:
        keys = conditions.keys()
        layout = choose_layout(conditions.trials)
        learned, agent_with = self._learned(conditions)
        per_row = self.plays // self.rows
        per_trial = uniform_regret(self.delta)

        def begin(parameters: PyTree, key: Key[Array, ""]) -> Played:
            return start_play(agent_with(parameters), self.plays, self._keys(key)[1])

        def one_trial(learned: PyTree, row: Array, carry: tuple[PyTree, Played], key: Key[Array, ""]) -> PyTree:
            del learned, row
            parameters, played = carry
            wheel_key, game_key = self._keys(key)
            wheel = Wheel.draw(wheel_key, self.plays, self.delta)
            agent = agent_with(parameters)
            played, regret = play(agent, wheel, played, per_row // agent.every, game_key)
            return (parameters, played), {"regret": regret / (per_trial * per_row)}

        def compiled(state: PyTree) -> Step:
            take = jax.jit(layout.trials(one_trial)).lower((), jnp.int32(0), state, keys).compile()
            return lambda row, state: take((), jnp.int32(row), state, keys)

        _, played = conditions.run_steps(compiled, (learned, jax.vmap(begin)(learned, keys)), self.rows)
        conditions.recorder.attach(f"example_tasks/{self.name}.json", self._picture(played))
        conditions.recorder.finish(self.rows, {})

    def _learned(self, conditions: Conditions) -> tuple[PyTree, Any]:
        """Meta-parameters with a leading axis of trials, and the agent that has those of one trial."""
        if self.origin is None or self.training is None:
            return jnp.zeros(conditions.trials), lambda _: self.agent
        assert isinstance(self.agent, NeuralGreedy)
        agent = self.agent
        learned, constants = taken_over(conditions, self.origin, self.training, agent.learner)

        def agent_with(parameters: PyTree) -> AbstractAgent:
            learner = join(parameters, constants)
            assert isinstance(learner, AbstractNetworkLearner)
            return replace(agent, learner=learner)

        return learned, agent_with

    def _keys(self, key: Key[Array, ""]) -> Key[Array, "2"]:
        """Keys of the wheel of a trial, and of the game on it."""
        wheels = jax.random.fold_in(jax.random.fold_in(key, WHEELS), round(1000 * self.delta))
        return jax.random.split(wheels)

    def _picture(self, played: Played) -> dict[str, Any]:
        """The last contexts of the first trial, and what was done there."""
        last = slice(max(0, self.plays - SHOWN), self.plays)
        return {
            "delta": self.delta,
            "contexts": np.asarray(played.seen.contexts[0, last]).round(4).tolist(),
            "actions": np.asarray(played.seen.actions[0, last]).tolist(),
        }
