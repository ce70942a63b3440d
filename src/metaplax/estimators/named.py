"""Estimators by the short names that configurations and the command line use."""

from typing import Literal

from metaplax.estimators.base import AbstractEstimator
from metaplax.estimators.checkpointed import Checkpointed
from metaplax.estimators.forward_mode import ForwardMode
from metaplax.estimators.reverse import Reverse
from metaplax.estimators.reversible import Reversible

EstimatorName = Literal["reversible", "checkpointed", "reverse", "forward"]
ESTIMATORS: dict[EstimatorName, type[AbstractEstimator]] = {
    "reversible": Reversible,
    "checkpointed": Checkpointed,
    "reverse": Reverse,
    "forward": ForwardMode,
}
