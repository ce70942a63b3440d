"""Episodes and streams: what a learner sees."""

from metaplax.tasks.classification import OnlineClassification
from metaplax.tasks.division import Division
from metaplax.tasks.episode import AbstractTask, Episode, Examples
from metaplax.tasks.spiking import AbstractSpikingTask, SpikingPatterns, SpikingSinusoids
from metaplax.tasks.stream import ImageStream
from metaplax.tasks.tabular import Table

__all__ = [
    "AbstractSpikingTask",
    "AbstractTask",
    "Division",
    "Episode",
    "Examples",
    "ImageStream",
    "OnlineClassification",
    "SpikingPatterns",
    "SpikingSinusoids",
    "Table",
]
