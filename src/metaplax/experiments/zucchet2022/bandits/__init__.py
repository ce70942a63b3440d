"""Agents that learn while they act, and the loop that lets them."""

from metaplax.experiments.zucchet2022.bandits.agents import AbstractAgent, Seen, Uniform
from metaplax.experiments.zucchet2022.bandits.linear import LinFullPost, LinGreedy
from metaplax.experiments.zucchet2022.bandits.neural_greedy import NeuralGreedy
from metaplax.experiments.zucchet2022.bandits.neural_linear import NeuralLinear
from metaplax.experiments.zucchet2022.bandits.play import Played, Wheel, play, start_play
from metaplax.experiments.zucchet2022.bandits.posterior import Posterior
from metaplax.experiments.zucchet2022.bandits.wheel import WheelTask

__all__ = [
    "AbstractAgent",
    "LinFullPost",
    "LinGreedy",
    "NeuralGreedy",
    "NeuralLinear",
    "Played",
    "Posterior",
    "Seen",
    "Uniform",
    "Wheel",
    "WheelTask",
    "play",
    "start_play",
]
