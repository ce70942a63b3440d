"""The wheel bandit, agents that play it, and games between the two."""

from metaplax.experiments.zucchet2022.bandits.agents import AbstractAgent, History, Uniform
from metaplax.experiments.zucchet2022.bandits.linear import LinFullPost, LinGreedy
from metaplax.experiments.zucchet2022.bandits.neural_greedy import NeuralGreedy
from metaplax.experiments.zucchet2022.bandits.neural_linear import NeuralLinear
from metaplax.experiments.zucchet2022.bandits.play import Game, play, start_game
from metaplax.experiments.zucchet2022.bandits.posterior import Posterior
from metaplax.experiments.zucchet2022.bandits.wheel import Wheel, WheelTask

__all__ = [
    "AbstractAgent", "Game", "History", "LinFullPost", "LinGreedy", "NeuralGreedy", "NeuralLinear", "Posterior",
    "Uniform", "Wheel", "WheelTask", "play", "start_game",
]  # fmt: skip
