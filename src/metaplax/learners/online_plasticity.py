"""The learner of Shervani-Tabar & Rosenbaum (2023): one pass, one example at a time, no gradient inside."""

from metaplax.feedback import AbstractFeedback
from metaplax.learners.plastic_learner import PlasticLearner, Probe
from metaplax.networks import AbstractPlasticNetwork
from metaplax.plasticity import AbstractPenalty, Rule


def OnlinePlasticity(
    network: AbstractPlasticNetwork,
    rule: Rule,
    feedback: AbstractFeedback | None = None,
    penalty: AbstractPenalty | None = None,
    probes: tuple[Probe, ...] = (),
) -> PlasticLearner:
    """A network that learns a stream of single examples; weights and feedback are drawn anew in each episode.

    Args:
        network: the network.
        rule: the plasticity rule, whose coefficients are meta-learned.
        feedback: the feedback pathway; by default ``RandomFixed``.
        penalty: penalty on the coefficients, added to the outer loss (Eq. 6).
        probes: further measurements on the query set after adaptation.

    Source: Shervani-Tabar & Rosenbaum (2023), Algorithm 1.
    """
    return PlasticLearner(network, rule, feedback, penalty=penalty, probes=probes)
