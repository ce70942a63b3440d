"""Shervani-Tabar & Rosenbaum (2023): every figure and table, and what lies beyond."""

from metaplax.experiments.base import AbstractExperiment
from metaplax.experiments.shervani2023.discover import Discover
from metaplax.experiments.shervani2023.figures import Fig3, Fig5, Fig7, Fig8, FigS2, Quickstart
from metaplax.experiments.shervani2023.generalisation import Generalisation
from metaplax.experiments.shervani2023.online import OnlineRuleLearning
from metaplax.experiments.shervani2023.online_digits import Fig1, FigS1
from metaplax.experiments.shervani2023.pool import Fig4, Fig4Path, FigS5
from metaplax.experiments.shervani2023.table1 import Table1

EXPERIMENTS: tuple[type[AbstractExperiment], ...] = (
    Quickstart,
    Fig1,
    Fig3,
    Fig4,
    Fig4Path,
    Fig5,
    Table1,
    Fig7,
    Fig8,
    FigS1,
    FigS2,
    FigS5,
    Generalisation,
    Discover,
)

__all__ = ["EXPERIMENTS", "OnlineRuleLearning"]
