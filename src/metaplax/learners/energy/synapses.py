"""Energy learners whose every synapse has meta-parameters of its own: a strength, or a place to be drawn to."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PyTree

from metaplax.learners.base import is_meta_parameter
from metaplax.learners.energy.base import AbstractMinimiser
from metaplax.learners.energy.network_learner import AbstractNetworkLearner
from metaplax.networks import AbstractFunctionalNetwork, AbstractReadout

Reduction = Literal["sum", "mean"]


class MetaRegularised(AbstractNetworkLearner):
    """``E = misfit + factor * sum_i strength_i * fast_i ** 2``: every weight has a decay of its own.

    The initial weights are drawn once per trial and stay as they are, unless they are meta-learned too. Strengths are
    raw numbers; keep them from falling below zero by ``optax.keep_params_nonnegative`` or the like.

    Args:
        network: what computes.
        readout: loss of both the support and the query set.
        minimiser: how the energy is minimised.
        strength: where all strengths start.
        factor: 1 as in the published code; 0.5 for the usual weight decay.
        learn_start: whether a meta-gradient reaches the initial weights.
        key: of the initial weights outside of meta-training.

    Source: Zucchet et al. (2022), section 5.1; Lorraine et al. (2020).
    """

    network: AbstractFunctionalNetwork
    readout: AbstractReadout
    minimiser: AbstractMinimiser
    strength: PyTree
    start: PyTree
    factor: float
    learn_start: bool

    def __init__(
        self,
        network: AbstractFunctionalNetwork,
        readout: AbstractReadout,
        minimiser: AbstractMinimiser,
        strength: float = 1e-4,
        *,
        factor: float = 1.0,
        learn_start: bool = False,
        key: Key[Array, ""] | None = None,
    ):
        self.network, self.readout, self.minimiser = network, readout, minimiser
        self.factor, self.learn_start = factor, learn_start
        self.start = network.init(_or_first(key))[0]
        self.strength = jax.tree.map(lambda leaf: jnp.full_like(leaf, strength), self.start)

    def resample(self, key: Key[Array, ""]) -> "MetaRegularised":
        return _with_weights(self, "start", key)

    def begin(self, key: Key[Array, ""]) -> tuple[PyTree, PyTree]:
        start = self.start if self.learn_start else jax.lax.stop_gradient(self.start)
        return start, self.network.init(key)[1]

    def regulariser(self, fast: PyTree) -> Float[Array, ""]:
        return self.factor * sum_over(lambda strength, weight: strength * weight**2, self.strength, fast)


class ComplexSynapse(AbstractNetworkLearner):
    """``E = misfit + factor * reduce_i strength_i * (omega_i - fast_i) ** 2``: fast weights drawn to consolidated ones.

    Fast weights start at the consolidated ones. With strengths of 0 in plain space that are not learned, all there is
    to meta-learn is where a task starts, as in model-agnostic meta-learning (Finn et al., 2017).

    Args:
        network: what computes.
        readout: loss of both the support and the query set.
        minimiser: how the energy is minimised.
        strength: where all strengths start.
        log_space: whether logarithms of the strengths are meta-learned, so that they cannot become negative.
        learn_strength: whether strengths are meta-learned at all; ``omega`` always is.
        reduction: whether the charge is the sum or the mean over synapses.
        factor: 0.5 as in the paper; 1 in parts of the published code.
        key: of ``omega`` outside of meta-training.

    Source: Zucchet et al. (2022), section 3.1.
    """

    network: AbstractFunctionalNetwork
    readout: AbstractReadout
    minimiser: AbstractMinimiser
    omega: PyTree
    strength: PyTree
    log_space: bool
    learn_strength: bool
    reduction: Reduction
    factor: float

    def __init__(
        self,
        network: AbstractFunctionalNetwork,
        readout: AbstractReadout,
        minimiser: AbstractMinimiser,
        strength: float = 1.0,
        *,
        log_space: bool = True,
        learn_strength: bool = True,
        reduction: Reduction = "sum",
        factor: float = 0.5,
        key: Key[Array, ""] | None = None,
    ):
        if log_space and not strength > 0:
            raise ValueError(f"a strength of {strength} has no logarithm: start above zero, or set log_space=False")
        self.network, self.readout, self.minimiser = network, readout, minimiser
        self.log_space, self.learn_strength, self.reduction, self.factor = log_space, learn_strength, reduction, factor
        self.omega = network.init(_or_first(key))[0]
        value = jnp.log(strength) if log_space else jnp.asarray(strength)
        self.strength = jax.tree.map(lambda leaf: jnp.full_like(leaf, value), self.omega)

    def resample(self, key: Key[Array, ""]) -> "ComplexSynapse":
        return _with_weights(self, "omega", key)

    def begin(self, key: Key[Array, ""]) -> tuple[PyTree, PyTree]:
        return self.omega, self.network.init(key)[1]

    def regulariser(self, fast: PyTree) -> Float[Array, ""]:
        raw = self.strength if self.learn_strength else jax.lax.stop_gradient(self.strength)
        strength = jax.tree.map(jnp.exp, raw) if self.log_space else raw
        total = sum_over(lambda s, omega, weight: s * (omega - weight) ** 2, strength, self.omega, fast)
        size = sum(leaf.size for leaf in jax.tree.leaves(fast))
        return self.factor * (total if self.reduction == "sum" else total / size)


def sum_over(function, *trees: PyTree) -> Float[Array, ""]:
    """The sum of a function of corresponding numbers of trees of one structure."""
    return sum(jax.tree.leaves(jax.tree.map(lambda *leaves: jnp.sum(function(*leaves)), *trees)), start=jnp.zeros(()))


def _or_first(key: Key[Array, ""] | None) -> Key[Array, ""]:
    return jax.random.key(0) if key is None else key


def _with_weights(learner, name: str, key: Key[Array, ""]):
    """The learner with newly drawn weights in one of its fields and in its network; what is frozen stays as it is."""
    if _is_learned(learner.network):
        network = learner.network.resample(jax.random.fold_in(key, 1))
        learner = eqx.tree_at(lambda tree: tree.network, learner, network)
    if not _is_learned(getattr(learner, name)):
        return learner
    return eqx.tree_at(lambda tree: getattr(tree, name), learner, learner.network.init(key)[0])


def _is_learned(tree: PyTree) -> bool:
    """Whether a tree has arrays, none of which is frozen."""
    arrays = [leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, (jax.Array, np.ndarray))]
    return bool(arrays) and all(map(is_meta_parameter, arrays))
