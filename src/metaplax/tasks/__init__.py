"""Episodes and streams: what a learner sees."""

from metaplax.tasks.class_bank import ClassBank
from metaplax.tasks.classification import OnlineClassification
from metaplax.tasks.division import Division
from metaplax.tasks.episode import AbstractTask, Episode, Examples
from metaplax.tasks.few_shot import FewShot
from metaplax.tasks.spiking import AbstractSpikingTask, SpikingPatterns, SpikingSinusoids
from metaplax.tasks.stream import ImageStream
from metaplax.tasks.tabular import Table
from metaplax.tasks.trajectories import AbstractTrajectory, ImageTrajectory, Order, Sinusoids
from metaplax.tasks.wheel import WheelTask

__all__ = [
    "AbstractSpikingTask",
    "AbstractTask",
    "AbstractTrajectory",
    "ClassBank",
    "Division",
    "Episode",
    "Examples",
    "FewShot",
    "ImageStream",
    "ImageTrajectory",
    "OnlineClassification",
    "Order",
    "Sinusoids",
    "SpikingPatterns",
    "SpikingSinusoids",
    "Table",
    "WheelTask",
]
