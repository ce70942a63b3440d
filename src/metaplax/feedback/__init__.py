"""How teaching signals reach each layer."""

from metaplax.feedback.base import AbstractFeedback, chain
from metaplax.feedback.chain_and_direct import ChainAndDirect
from metaplax.feedback.direct import Direct
from metaplax.feedback.kolen_pollack import KolenPollack
from metaplax.feedback.learned_path import LearnedPath
from metaplax.feedback.plastic import PlasticFeedback
from metaplax.feedback.random_fixed import RandomFixed
from metaplax.feedback.symmetric import SignSymmetric, Symmetric

__all__ = [
    "AbstractFeedback",
    "ChainAndDirect",
    "Direct",
    "KolenPollack",
    "LearnedPath",
    "PlasticFeedback",
    "RandomFixed",
    "SignSymmetric",
    "Symmetric",
    "chain",
]
