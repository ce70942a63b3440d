"""Tyulmankov, Yang & Abbott (2022): meta-learned synaptic plasticity for continual familiarity detection."""

from metaplax.experiments.base import AbstractExperiment
from metaplax.experiments.tyulmankov2022.closed_form import ClosedForm
from metaplax.experiments.tyulmankov2022.familiarity_streams import Curriculum, OneInterval, WhichTerms

EXPERIMENTS: tuple[type[AbstractExperiment], ...] = (OneInterval, Curriculum, ClosedForm, WhichTerms)

__all__ = ["EXPERIMENTS"]
