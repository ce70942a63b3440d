"""Episodes: what a learner sees."""

from metaplax.tasks.classification import OnlineClassification
from metaplax.tasks.episode import AbstractTask, Episode, Examples

__all__ = ["AbstractTask", "Episode", "Examples", "OnlineClassification"]
