"""The wheel bandit, agents that play it, and games between the two."""

from metaplax.experiments.zucchet2022.bandits.agents import NeuralGreedy, Uniform
from metaplax.experiments.zucchet2022.bandits.game import AbstractAgent, Game, History, play, start_game
from metaplax.experiments.zucchet2022.bandits.posterior import Posterior
from metaplax.experiments.zucchet2022.bandits.regression_agents import LinFullPost, LinGreedy, NeuralLinear
from metaplax.experiments.zucchet2022.bandits.wheel import Wheel, WheelTask

__all__ = [
    "AbstractAgent", "Game", "History", "LinFullPost", "LinGreedy", "NeuralGreedy", "NeuralLinear", "Posterior",
    "Uniform", "Wheel", "WheelTask", "play", "start_game",
]  # fmt: skip
