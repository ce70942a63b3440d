"""Energy learners whose every synapse has meta-parameters of its own: a decay, or a consolidated weight and a pull."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from metaplax.learners.energy.base import AbstractMinimiser, sum_over
from metaplax.learners.energy.local_rule import LocalRule
from metaplax.learners.energy.network_learner import AbstractNetworkLearner, parts
from metaplax.networks import AbstractFunctionalNetwork, AbstractPlasticNetwork, AbstractReadout

Reduction = Literal["sum", "mean"]


class MetaRegularised(AbstractNetworkLearner):
    """``E = inner_loss + factor * sum_i decay_i * fast_i ** 2``: every weight has a decay of its own.

    Decays are raw numbers; keep them from falling below zero by ``optax.keep_params_nonnegative`` or the like.

    Args:
        network: the network that is trained.
        readout: loss of both the support and the query set; left out with a plastic network, which has its own.
        minimiser: how the energy is minimised.
        decay: initial value of all decays.
        direction: what the inner loop descends along in place of the gradient of the inner loss; only with a plastic
            network, such as ``MLP`` or ``Sequential``.
        factor: 1 as in the published code; 0.5 for the usual weight decay.
        learn_start: whether the initial weights are meta-learned, too.
        key: randomness of the initial weights, and of learned feedback.

    Raises:
        ValueError: the parts do not fit: see ``LocalRule``.

    Source: Zucchet et al. (2022), section 5.1; Lorraine et al. (2020).
    """

    network: AbstractFunctionalNetwork
    readout: AbstractReadout
    minimiser: AbstractMinimiser
    decay: PyTree
    start: PyTree
    factor: float
    learn_start: bool = eqx.field(static=True)

    def __init__(
        self,
        network: AbstractFunctionalNetwork | AbstractPlasticNetwork,
        readout: AbstractReadout | AbstractMinimiser | None,
        minimiser: AbstractMinimiser | None = None,
        decay: float = 1e-4,
        *,
        direction: LocalRule | None = None,
        factor: float = 1.0,
        learn_start: bool = False,
        key: Key[Array, ""] | None = None,
    ):
        given = parts(network, readout, minimiser, direction, _rule_key(_or_first(key)))
        self.network, self.readout, self.minimiser, self.local_rule = given
        self.factor, self.learn_start = factor, learn_start
        self.start = self.network.init(_or_first(key))[0]
        self.decay = jax.tree.map(lambda leaf: jnp.full_like(leaf, decay), self.start)

    def untrained(self) -> tuple[str, ...]:
        return (*super().untrained(), *(() if self.learn_start else (".start",)))

    def redrawn(self, key: Key[Array, ""]) -> "MetaRegularised":
        return _with_weights(self, "start", key)

    def begin(self, key: Key[Array, ""]) -> tuple[PyTree, PyTree]:
        return self.start, self.buffers_at_start(key)

    def regulariser(self, fast: PyTree) -> Float[Array, ""]:
        return self.factor * sum_over(lambda decay, weight: decay * weight**2, self.decay, fast)


class ComplexSynapse(AbstractNetworkLearner):
    """``E = inner_loss + factor * reduce_i strength_i * (omega_i - fast_i) ** 2``: weights pulled to consolidated ones.

    Fast weights start at the consolidated ones, ``omega``. With a strength of 0 in plain space that is not learned,
    there is no pull at all, and all there is to meta-learn is where a task starts, as in model-agnostic meta-learning
    (Finn et al., 2017).

    Args:
        network: the network that is trained.
        readout: loss of both the support and the query set; left out with a plastic network, which has its own.
        minimiser: how the energy is minimised.
        strength: initial value of all strengths.
        direction: what the inner loop descends along in place of the gradient of the inner loss; only with a plastic
            network, such as ``MLP`` or ``Sequential``.
        log_space: whether logarithms of the strengths are meta-learned, so that they cannot become negative.
        learn_strength: whether strengths are meta-learned; ``omega`` always is.
        reduction: whether the regulariser is the sum or the mean over synapses.
        factor: 0.5 as in the paper; 1 in parts of the published code.
        key: randomness of ``omega``, and of learned feedback.

    Raises:
        ValueError: a strength that is not positive has no logarithm, or the parts do not fit: see ``LocalRule``.

    Source: Zucchet et al. (2022), section 3.1.
    """

    network: AbstractFunctionalNetwork
    readout: AbstractReadout
    minimiser: AbstractMinimiser
    omega: PyTree
    strength: PyTree | None
    log_space: bool = eqx.field(static=True)
    learn_strength: bool = eqx.field(static=True)
    reduction: Reduction = eqx.field(static=True)
    factor: float

    def __init__(
        self,
        network: AbstractFunctionalNetwork | AbstractPlasticNetwork,
        readout: AbstractReadout | AbstractMinimiser | None,
        minimiser: AbstractMinimiser | None = None,
        strength: float = 1.0,
        *,
        direction: LocalRule | None = None,
        log_space: bool = True,
        learn_strength: bool = True,
        reduction: Reduction = "sum",
        factor: float = 0.5,
        key: Key[Array, ""] | None = None,
    ):
        if log_space and not strength > 0:
            raise ValueError(f"a strength of {strength} has no logarithm: start above zero, or set log_space=False")
        given = parts(network, readout, minimiser, direction, _rule_key(_or_first(key)))
        self.network, self.readout, self.minimiser, self.local_rule = given
        self.log_space, self.learn_strength, self.reduction, self.factor = log_space, learn_strength, reduction, factor
        self.omega = self.network.init(_or_first(key))[0]
        value = jnp.log(strength) if log_space else jnp.asarray(strength)
        has_pull = bool(strength) or learn_strength
        self.strength = jax.tree.map(lambda leaf: jnp.full_like(leaf, value), self.omega) if has_pull else None

    def untrained(self) -> tuple[str, ...]:
        return (*super().untrained(), *(() if self.learn_strength else (".strength",)))

    def redrawn(self, key: Key[Array, ""]) -> "ComplexSynapse":
        return _with_weights(self, "omega", key)

    def begin(self, key: Key[Array, ""]) -> tuple[PyTree, PyTree]:
        return self.omega, self.buffers_at_start(key)

    def regulariser(self, fast: PyTree) -> Float[Array, ""]:
        if self.strength is None:
            return jnp.zeros(())
        strength = jax.tree.map(jnp.exp, self.strength) if self.log_space else self.strength
        total = sum_over(lambda s, omega, weight: s * (omega - weight) ** 2, strength, self.omega, fast)
        size = sum(leaf.size for leaf in jax.tree.leaves(fast))
        return self.factor * (total if self.reduction == "sum" else total / size)


def _or_first(key: Key[Array, ""] | None) -> Key[Array, ""]:
    return jax.random.key(0) if key is None else key


def _rule_key(key: Key[Array, ""]) -> Key[Array, ""]:
    return jax.random.fold_in(key, 2)


def _with_weights(learner, name: str, key: Key[Array, ""]):
    """The learner with newly drawn weights in one of its fields, and arrays of its network and rule drawn anew."""
    network, rule = learner.network.resample(jax.random.fold_in(key, 1)), learner.local_rule
    if rule is not None:
        rule = rule.drawn(_rule_key(key), network.network)
    where = lambda tree: (tree.network, getattr(tree, name), tree.local_rule)  # noqa: E731
    return eqx.tree_at(where, learner, (network, network.init(key)[0], rule), is_leaf=lambda leaf: leaf is None)
