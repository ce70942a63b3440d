"""Episodes and streams: what a learner sees."""

from metaplax.tasks.class_bank import ClassBank
from metaplax.tasks.continual import AbstractContinualTask, ContinualImages, Order, Sinusoids
from metaplax.tasks.episode import AbstractTask, Episode, Examples
from metaplax.tasks.few_shot import FewShot
from metaplax.tasks.hold_out import HoldOut, Table
from metaplax.tasks.image_stream import ImageStream
from metaplax.tasks.online_classification import OnlineClassification
from metaplax.tasks.own_data import from_arrays, from_function
from metaplax.tasks.recordings import Recordings, Simulations
from metaplax.tasks.spike_regression import AbstractSpikingTask, SpikingPatterns, SpikingSinusoids

__all__ = [
    "AbstractContinualTask", "AbstractSpikingTask", "AbstractTask", "ClassBank", "ContinualImages", "Episode",
    "Examples", "FewShot", "HoldOut", "ImageStream", "OnlineClassification", "Order", "Recordings",
    "Simulations", "Sinusoids", "SpikingPatterns", "SpikingSinusoids", "Table", "from_arrays", "from_function",
]  # fmt: skip
