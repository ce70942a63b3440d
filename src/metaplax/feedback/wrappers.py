"""Pathways around a pathway: with noise, with a delay, with few synapses, or with meta-learned weights."""

import equinox as eqx
import jax
import jax.numpy as jnp
from equinox import AbstractVar
from jaxtyping import Array, Float, Key, PyTree

from metaplax.feedback.base import AbstractFeedback, Errors, LayerChanges, PerPopulation, told
from metaplax.feedback.direct import Direct
from metaplax.networks import AbstractPlasticNetwork, Activity, Weights


class AbstractWrapper(AbstractFeedback):
    """Does what the pathway inside does, unless it says otherwise."""

    inside: AbstractVar[AbstractFeedback]

    @property
    def looks_ahead(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.inside.looks_ahead

    def init(self, key: Key[Array, ""], network: AbstractPlasticNetwork) -> PyTree:
        return self.inside.init(key, network)

    def errors(self, state, network, weights, activity, output_error, key):
        return self.inside.errors(state, network, weights, activity, output_error, key)

    def drawn(
        self, key: Key[Array, ""], network: AbstractPlasticNetwork, *, only_missing: bool = False
    ) -> "AbstractWrapper":
        inside = self.inside.drawn(key, network, only_missing=only_missing)
        return eqx.tree_at(lambda it: it.inside, self, inside)

    def learn(self, state: PyTree, changes: LayerChanges) -> tuple[PyTree, LayerChanges]:
        return self.inside.learn(state, changes)

    def memory(self, network: AbstractPlasticNetwork) -> PyTree:
        return self.inside.memory(network)

    def remember(self, memory: PyTree, errors: Errors) -> tuple[Errors, PyTree]:
        return self.inside.remember(memory, errors)

    def scalars(self) -> dict[str, Float[Array, ""]]:
        return self.inside.scalars()

    def look_ahead(self, state: PyTree, final_weights: Weights) -> PyTree:
        return self.inside.look_ahead(state, final_weights)


class Noisy(AbstractWrapper):
    """Normal noise is added to what every population below the output is told, anew at every step.

    Args:
        inside: the pathway.
        sd: standard deviation of the noise, in units of the learning signal.

    Raises:
        ValueError: ``sd`` is negative.
    """

    inside: AbstractFeedback
    sd: float = 0.1

    def __check_init__(self):
        if not self.sd >= 0:
            raise ValueError(f"the standard deviation of noise must not be negative, but is {self.sd}")

    def errors(self, state, network, weights, activity, output_error, key):
        noise_key, key = jax.random.split(key)
        found = self.inside.errors(state, network, weights, activity, output_error, key)
        keys = jax.random.split(noise_key, len(found) - 1)
        noisy = [
            s + self.sd * jax.random.normal(k, s.shape, s.dtype) for s, k in zip(found.signals, keys, strict=False)
        ]
        return _with_signals(network, activity, found, noisy)


class Delayed(AbstractWrapper):
    """What a population below the output is told arrives some steps later; before that, it is told nothing.

    A step is one of time in a sequence, and one update otherwise.

    Args:
        inside: the pathway.
        steps: how many steps later.

    Raises:
        ValueError: ``steps`` is below one.
    """

    inside: AbstractFeedback
    steps: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        if self.steps < 1:
            raise ValueError(f"a delay is at least one step, not {self.steps}")

    def memory(self, network: AbstractPlasticNetwork) -> PyTree:
        shapes = [population.shape for population in network.populations[:-1]]
        line = tuple(jnp.zeros((self.steps, *shape)) for shape in shapes)
        return line, line, self.inside.memory(network)

    def remember(self, memory: PyTree, errors: Errors) -> tuple[Errors, PyTree]:
        *lines, inner = memory
        sent, inner = self.inside.remember(inner, errors)
        (signals, signal_line), (errors_now, error_line) = (
            _shifted(line, now) for line, now in zip(lines, (sent.signals, sent.errors), strict=True)
        )
        return Errors(errors_now, signals), (signal_line, error_line, inner)


class Sparse(AbstractWrapper):
    """Only a random fraction of the synapses of the pathway exists, drawn anew in every episode.

    Args:
        inside: a pathway whose matrices are its own; symmetric feedback has none.
        density: fraction of the synapses that exist.

    Raises:
        ValueError: the density is not in (0, 1], or the pathway has no matrices of its own.
    """

    inside: AbstractFeedback
    density: float = 0.1

    def __check_init__(self):
        if not 0 < self.density <= 1:
            raise ValueError(f"the fraction of synapses that exist is in (0, 1], not {self.density}")

    def init(self, key: Key[Array, ""], network: AbstractPlasticNetwork) -> PyTree:
        mask_key, key = jax.random.split(key)
        leaves, structure = jax.tree.flatten(self.inside.init(key, network))
        if not leaves:
            raise ValueError(f"{type(self.inside).__name__} has no synapses of its own that could be left out")
        keys = jax.random.split(mask_key, len(leaves))
        masked = [
            leaf * jax.random.bernoulli(k, self.density, leaf.shape) for leaf, k in zip(leaves, keys, strict=True)
        ]
        return jax.tree.unflatten(structure, masked)

    def learn(self, state: PyTree, changes: LayerChanges) -> tuple[PyTree, LayerChanges]:
        """Absent synapses stay absent: every update of the pathway has the zeros of its state."""
        updates, changes = self.inside.learn(state, changes)
        exists = lambda b, us: tuple(u.scaled((b != 0).astype(b.dtype)) for u in us)  # noqa: E731
        return jax.tree.map(exists, state, updates), changes


class Learned(AbstractWrapper):
    """The weights that the pathway starts every episode with are meta-learned, in place of drawn anew.

    Args:
        inside: the pathway; by default straight from the output to every population.
        state: its weights; drawn by the learner if they are not given.

    Raises:
        ValueError: the pathway inside is sparse, which meta-learning would undo, or has no weights of its own.
    """

    inside: AbstractFeedback = Direct()
    state: PyTree = None

    def __check_init__(self):
        if isinstance(self.inside, Sparse):
            raise ValueError("learned weights do not stay sparse: write Sparse(Learned(...)), not Learned(Sparse(...))")

    def init(self, key: Key[Array, ""], network: AbstractPlasticNetwork) -> PyTree:
        if self.state is not None:
            return self.state
        raise ValueError("learned feedback has no weights yet: make it with .drawn(key, network)")

    def drawn(self, key: Key[Array, ""], network: AbstractPlasticNetwork, *, only_missing: bool = False) -> "Learned":
        if only_missing and self.state is not None:
            return self
        fresh = self.inside.init(key, network)
        if not jax.tree.leaves(fresh):
            raise ValueError(f"{type(self.inside).__name__} has no weights of its own that could be learned")
        return Learned(self.inside, fresh)


def _with_signals(
    network: AbstractPlasticNetwork, activity: Activity, found: Errors, signals: list[Float[Array, "..."]]
) -> Errors:
    """The same, with other learning signals below the output."""
    errors = (told(network, activity, number, signal) for number, signal in enumerate(signals))
    return Errors((*errors, found.errors[-1]), (*signals, found.signals[-1]))


def _shifted(line: PerPopulation, now: PerPopulation) -> tuple[PerPopulation, PerPopulation]:
    """What arrives, the output as it is now, and the line of what is on its way."""
    arriving = (*(on_the_way[0] for on_the_way in line), now[-1])
    pairs = zip(line, now, strict=False)
    return arriving, tuple(jnp.concatenate([on_the_way[1:], last[None]]) for on_the_way, last in pairs)
