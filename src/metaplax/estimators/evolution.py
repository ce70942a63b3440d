"""Evolution strategies: the meta-gradient from outer losses alone."""

from jaxtyping import Array, Key

from metaplax.estimators.base import MetaGradient, parametrised
from metaplax.estimators.perturbed import AbstractPerturbed, finite, summary
from metaplax.learners import AbstractLearner
from metaplax.tasks import Episode


class EvolutionStrategies(AbstractPerturbed):
    """Gradient of the outer loss averaged over normal perturbations of the meta-parameters, from pairs of episodes.

    Unbiased for that average, which differs from the loss itself by a term of second order in ``sd``. Time
    ``O(pairs T P)``, two forward passes per pair; memory ``O(P)`` whatever ``T``, times the number of pairs where these
    run side by side, as on a GPU. Nothing need be differentiable: it is right where an inner loop samples actions or
    spikes, for which derivatives through the inner loop are not.
    The variance grows with the number of meta-parameters, ``(|g|^2 + g_i^2) / pairs`` for component ``i`` of a gradient
    ``g``: not for thousands of meta-parameters where an exact estimator works.

    Args:
        pairs: see ``AbstractPerturbed``, as for ``sd``, ``ranks`` and ``fresh_keys``.

    Source: Salimans et al. (2017), also for ranks; Nesterov & Spokoiny (2017).
    """

    def value_and_grad(self, learner: AbstractLearner, episode: Episode, key: Key[Array, ""]) -> MetaGradient:
        noise = self.noise(self.noise_key(key), parametrised(learner)[0])
        run = lambda learner, key, _: learner.run(episode, key)  # noqa: E731
        losses, metrics = self.in_pairs(learner, noise, run, self.keys(key), None)
        kept = finite(losses)
        return summary(losses, metrics, self.gradient(learner, noise, losses, kept), kept)
