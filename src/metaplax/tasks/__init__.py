"""Episodes: what a learner sees."""

from metaplax.tasks.episode import AbstractTask, Episode, Examples

__all__ = ["AbstractTask", "Episode", "Examples"]
