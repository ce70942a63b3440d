"""Published experiments, one configuration each."""

from metaplax.experiments.base import AbstractExperiment, AbstractStudy, Conditions, ConfigError
from metaplax.experiments.comparing import ComparedEstimators, compare_estimators
from metaplax.experiments.estimator_comparison import EstimatorComparison
from metaplax.experiments.evaluate import Evaluation, evaluate
from metaplax.experiments.hard_to_differentiate import LongInnerLoop, SampledActions
from metaplax.experiments.leaderboard import Leaderboard
from metaplax.experiments.learned_from_run import meta_learned
from metaplax.experiments.presets import preset_times
from metaplax.experiments.registry import EXPERIMENTS, configure, lookup, names, register
from metaplax.experiments.runner import RunOptions, preset, resume, run
from metaplax.experiments.shervani2023 import OnlineRuleLearning
from metaplax.experiments.studies.meta_training import MetaTraining

__all__ = [
    "EXPERIMENTS", "AbstractExperiment", "AbstractStudy", "ComparedEstimators", "Conditions", "ConfigError",
    "EstimatorComparison", "Evaluation", "Leaderboard", "LongInnerLoop", "MetaTraining", "OnlineRuleLearning",
    "RunOptions", "SampledActions", "compare_estimators", "configure", "evaluate", "lookup", "meta_learned", "names",
    "preset",    "preset_times", "register", "resume", "run",
]  # fmt: skip
