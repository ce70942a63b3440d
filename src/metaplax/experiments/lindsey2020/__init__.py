"""Lindsey & Litwin-Kumar (2020): learned feedback and local plasticity for learning online and continually."""

from metaplax.experiments.lindsey2020 import ablations, hidden_feedback, image_streams, interference, regression

EXPERIMENTS = (
    regression.RegressionIid, regression.RegressionContinual, image_streams.OmniglotIid,
    image_streams.OmniglotContinual, ablations.Ablations, interference.Interference, hidden_feedback.HiddenFeedback,
    hidden_feedback.FreshStart,
)  # fmt: skip

__all__ = ["EXPERIMENTS"]
