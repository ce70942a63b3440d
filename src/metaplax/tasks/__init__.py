"""Episodes and streams: what a learner sees."""

from metaplax.tasks.class_bank import ClassBank
from metaplax.tasks.continual import AbstractContinualTask, ContinualImages, Order, Sinusoids
from metaplax.tasks.episode import AbstractTask, Episode, Examples
from metaplax.tasks.familiarity import Familiarity
from metaplax.tasks.few_shot import FewShot
from metaplax.tasks.hold_out import HoldOut, Table
from metaplax.tasks.image_stream import ImageStream
from metaplax.tasks.online_classification import OnlineClassification
from metaplax.tasks.own_data import from_arrays, from_function
from metaplax.tasks.recordings import Recordings, Simulations
from metaplax.tasks.spike_regression import AbstractSpikingTask, SpikingPatterns, SpikingSinusoids
from metaplax.tasks.working_memory import AbstractTrials, DelayedNonMatch, Perturbations, SelectiveIntegration

__all__ = [
    "AbstractContinualTask", "AbstractSpikingTask", "AbstractTask", "AbstractTrials", "ClassBank", "ContinualImages",
    "DelayedNonMatch", "Episode", "Examples", "Familiarity", "FewShot", "HoldOut", "ImageStream",
    "OnlineClassification", "Order", "Perturbations", "Recordings", "SelectiveIntegration", "Simulations",
    "Sinusoids", "SpikingPatterns", "SpikingSinusoids", "Table", "from_arrays", "from_function",
]  # fmt: skip
