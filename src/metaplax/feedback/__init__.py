"""Feedback pathways: they carry the output error, or another teaching signal, to each layer."""

from metaplax.feedback.base import AbstractFeedback, chain
from metaplax.feedback.direct import ChainAndDirect, Direct
from metaplax.feedback.learned_path import LearnedPath
from metaplax.feedback.random_weights import KolenPollack, PlasticFeedback, RandomFixed
from metaplax.feedback.symmetric import SignSymmetric, Symmetric

__all__ = [
    "AbstractFeedback", "ChainAndDirect", "Direct", "KolenPollack", "LearnedPath", "PlasticFeedback", "RandomFixed",
    "SignSymmetric", "Symmetric", "chain",
]  # fmt: skip
