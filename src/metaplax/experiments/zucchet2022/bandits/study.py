"""Measures the regret of an agent on the wheel bandit, and keeps its last actions for a figure."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PyTree

from metaplax.experiments.base import AbstractStudy, AbstractTraining, Conditions
from metaplax.experiments.operations import operations
from metaplax.experiments.studies.learned import learned_parameters
from metaplax.experiments.studies.trials import conduct_trials, size_of
from metaplax.experiments.zucchet2022.bandits import AbstractAgent, Game, NeuralGreedy, Wheel, play, start_game
from metaplax.experiments.zucchet2022.bandits.wheel import uniform_regret
from metaplax.learners import IncompatibleError
from metaplax.runs import fingerprint
from metaplax.training import trial_learner

WHEELS = 0x3EE1
"""Keeps the random keys of wheels apart from other keys of a trial."""

SHOWN = 1500
"""Number of plays, the last ones of a game, that are kept for a figure."""


@dataclass(frozen=True)
class BanditStudy(AbstractStudy):
    """An agent plays one wheel per trial; all agents see the same contexts on the wheel of a trial.

    Every row is the regret of one part of the game, as a fraction of the expected regret of random actions.

    Attributes:
        name: name of the study, under which the last plays are kept.
        agent: the agent.
        delta: radius at which the rim of the wheel begins.
        plays: number of plays in the game.
        rows: number of parts of the game.
        origin: if the agent has a meta-learned learner, name of the study that meta-trains it.
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
        return f"{self.plays} times {self.delta} after {self.origin} by {fingerprint(self.agent)}"

    def check(self) -> None:
        if self.plays % (self.rows * self.agent.every):
            raise IncompatibleError(
                f"{self.plays} plays cannot be divided into {self.rows} parts of whole blocks of {self.agent.every}"
            )

    def memory(self, trials: int) -> int:
        key = jax.random.key(0)
        wheel = size_of(lambda: Wheel.draw(key, self.plays, self.delta))
        return wheel + trials * size_of(lambda: start_game(self.agent, self.plays, key))

    def operations(self, trials: int) -> int:
        self.check()

        def whole() -> PyTree:
            key = jax.random.key(0)
            wheel = Wheel.draw(key, self.plays, self.delta)
            game = start_game(self.agent, self.plays, key)
            return play(self.agent, wheel, game, self.plays // self.agent.every, key)

        return trials * operations(whole)

    def conduct(self, conditions: Conditions) -> None:
        per_row = self.plays // self.rows
        expected = per_row * uniform_regret(self.delta)

        def begin(parameters: PyTree, key: Key[Array, ""]) -> Game:
            return start_game(self._agent(parameters, key), self.plays, self._keys(key)[1])

        def one_trial(task: tuple[()], row: Array, carry: tuple[PyTree, Game], key: Key[Array, ""]) -> PyTree:
            del task, row
            parameters, game = carry
            wheel_key, game_key = self._keys(key)
            wheel, agent = Wheel.draw(wheel_key, self.plays, self.delta), self._agent(parameters, key)
            game, regret = play(agent, wheel, game, per_row // agent.every, game_key)
            return (parameters, game), {"regret": regret / expected}

        learned = self._learned(conditions)
        start = (learned, jax.vmap(begin)(learned, conditions.keys()))
        _, game = conduct_trials(conditions, one_trial, (), start, self.rows)
        conditions.recorder.attach(f"example_tasks/{self.name}.json", self._last_plays(game))
        conditions.recorder.finish(self.rows, {})

    def _learned(self, conditions: Conditions) -> PyTree:
        """Meta-parameters of the agent, with a leading axis of trials; zeros if it has none."""
        if self.origin is None or self.training is None:
            return jnp.zeros(conditions.trials)
        assert isinstance(self.agent, NeuralGreedy)
        return learned_parameters(conditions, self.origin, self.training, self.agent.learner)

    def _agent(self, parameters: PyTree, key: Key[Array, ""]) -> AbstractAgent:
        """The agent of one trial."""
        if self.training is None:
            return self.agent
        assert isinstance(self.agent, NeuralGreedy)
        return replace(self.agent, learner=trial_learner(self.agent.learner, parameters, key, resample=True))

    def _keys(self, key: Key[Array, ""]) -> Key[Array, "2"]:
        """Keys of the wheel of a trial, and of the game on it."""
        wheels = jax.random.fold_in(jax.random.fold_in(key, WHEELS), round(1000 * self.delta))
        return jax.random.split(wheels)

    def _last_plays(self, game: Game) -> dict[str, Any]:
        """Contexts and actions at the end of the first trial's game."""
        last = slice(max(0, self.plays - SHOWN), self.plays)
        return {
            "delta": self.delta,
            "contexts": np.asarray(game.history.contexts[0, last]).round(4).tolist(),
            "actions": np.asarray(game.history.actions[0, last]).tolist(),
        }
