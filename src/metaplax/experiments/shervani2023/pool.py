"""Fig. 4, the path of its L1 penalty, and Fig. S5: which of ten candidate terms survive under which penalty."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import optax

from metaplax.experiments.base import ConfigError
from metaplax.experiments.shervani2023.online import LABELS, PUBLISHED, RULES, OnlineRuleLearning
from metaplax.optim import hard_threshold
from metaplax.plasticity import L1, L2, AbstractPenalty, ElasticNet, NoPenalty, Rule
from metaplax.runs import ReportOptions, StudyDescription


@dataclass(frozen=True)
class AbstractPoolLearning(OnlineRuleLearning):
    """The pool of ten terms, meta-learned with safeguards, without which it explodes within a few episodes."""

    safeguards: bool = True

    def rule(self, arm: str) -> Rule:
        return RULES[arm if arm in RULES else "pool"](self.sharing, self.sizes)


@dataclass(frozen=True)
class Fig4(AbstractPoolLearning):
    """All ten terms with an L1 penalty, beside backprop and feedback alignment."""

    name = "shervani2023/fig4"
    title = "Which of ten local terms survive an L1 penalty"
    arms = ("bp", "fa", "pool")
    published = PUBLISHED["fig4"]

    l1: float = 1.5

    def penalty(self, arm: str) -> AbstractPenalty:
        return super().penalty(arm) if arm == "pool" else NoPenalty()


FACTORS = (0.1, 0.3, 1.0, 3.0, 10.0)
# In the name of a study a dot stands between arm and condition.
FACTOR_OF = {f"pool_l1_{factor:g}".replace(".", "_"): factor for factor in FACTORS}


@dataclass(frozen=True)
class Fig4Path(AbstractPoolLearning):
    """The pool under L1 penalties with different factors."""

    name = "shervani2023/fig4-path"
    title = "The regularisation path of ten local terms"
    arms = tuple(FACTOR_OF)
    labels: ClassVar[Mapping[str, str]] = {arm: f"λ = {factor:g}" for arm, factor in FACTOR_OF.items()}

    def report_options(self) -> ReportOptions:
        return ReportOptions(scanned="λ")

    def describe(self, study: str) -> StudyDescription:
        return replace(super().describe(study), scanned=FACTOR_OF[study])

    def penalty(self, arm: str) -> AbstractPenalty:
        return L1(FACTOR_OF[arm])


@dataclass(frozen=True)
class FigS5(AbstractPoolLearning):
    """The pool under different regularisers.

    Attributes:
        l2: factor of the L2 penalty, alone and in the elastic net.
        keep: number of coefficients that hard selection leaves; with one per term, the number of terms.
    """

    name = "shervani2023/figS5"
    title = "L1 beside other ways to a sparse rule"
    arms = ("pool_none", "pool_l1", "pool_l2", "pool_elastic", "pool_top")
    labels = LABELS["figS5"]

    l1: float = 1.5
    l2: float = 30.0
    keep: int = 3

    def __post_init__(self):
        super().__post_init__()
        if not 1 <= self.keep <= 10:
            raise ConfigError(f"keep must be one to ten terms, not {self.keep}")
        self.require_not_negative("l2")

    def penalty(self, arm: str) -> AbstractPenalty:
        elastic = ElasticNet(self.l1 / 2, self.l2 / 2)
        return {"pool_l1": L1(self.l1), "pool_l2": L2(self.l2), "pool_elastic": elastic}.get(arm, NoPenalty())

    def selection(self, arm: str) -> tuple[optax.GradientTransformation, ...]:
        first, last = self.meta_steps // 6, self.meta_steps // 2
        return (hard_threshold(self.keep, first, max(last, first + 1)),) if arm == "pool_top" else ()
