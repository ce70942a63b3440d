"""Feedback pathways: they carry the output error, or another teaching signal, to each layer."""

from metaplax.feedback import modulators
from metaplax.feedback.base import AbstractFeedback, Errors, chain, through
from metaplax.feedback.direct import ChainAndDirect, Direct
from metaplax.feedback.random_weights import KolenPollack, PlasticFeedback, RandomFixed
from metaplax.feedback.symmetric import SignSymmetric, Symmetric
from metaplax.feedback.taught_activity import LearnedPath, TaughtActivity
from metaplax.feedback.wrappers import Delayed, Learned, Noisy, Sparse

__all__ = [
    "AbstractFeedback", "ChainAndDirect", "Delayed", "Direct", "Errors", "KolenPollack", "Learned", "LearnedPath",
    "Noisy", "PlasticFeedback", "RandomFixed", "SignSymmetric", "Sparse", "Symmetric", "TaughtActivity", "chain",
    "modulators", "through",
]  # fmt: skip
