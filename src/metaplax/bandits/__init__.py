"""Agents that learn while they act, and the loop that lets them."""

from metaplax.bandits.agents import AbstractAgent, Seen, Uniform
from metaplax.bandits.linear import LinFullPost, LinGreedy
from metaplax.bandits.neural_greedy import NeuralGreedy
from metaplax.bandits.neural_linear import NeuralLinear
from metaplax.bandits.play import Played, Wheel, play, start_play
from metaplax.bandits.posterior import Posterior

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
    "play",
    "start_play",
]
