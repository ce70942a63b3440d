"""Shervani-Tabar & Rosenbaum (2023): every figure and table, and what lies beyond."""

from metaplax.experiments.shervani2023 import discover, figures, generalisation, online_digits, pool, variants
from metaplax.experiments.shervani2023.online import OnlineRuleLearning

EXPERIMENTS = (
    figures.Quickstart, online_digits.Fig1, figures.Fig3, pool.Fig4, pool.Fig4Path, figures.Fig5, figures.Table1,
    online_digits.Fig6, figures.Fig7, figures.Fig8, online_digits.FigS1, figures.FigS2, pool.FigS5,
    online_digits.FigS1Searched, variants.Variants, generalisation.Generalisation, discover.Discover,
)  # fmt: skip

__all__ = ["EXPERIMENTS", "OnlineRuleLearning"]
