"""The interface of a feedback pathway, and the recursion over layers that most pathways share."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from metaplax.networks import AbstractPlasticNetwork, Activity, Weights
from metaplax.plasticity import Changes

Error = Float[Array, " n_L"]
"""The output error ``e_L``, one number per output."""

PerPopulation = tuple[Float[Array, "..."], ...]
"""One array per population, of the shape of its activity; the input comes first."""

LayerChanges = tuple[Changes, ...]
"""The updates of every connection in one step."""


class Errors(eqx.Module):
    """What a pathway tells every population. It is used like the tuple of the errors ``e_0..e_L``.

    Attributes:
        errors: ``e_p``, the learning signals times the derivative of the activity; ``e_0`` is the synthetic error of
            the input (Eq. 24 of Shervani-Tabar & Rosenbaum, 2023).
        signals: the learning signals themselves.
    """

    errors: PerPopulation
    signals: PerPopulation

    def __getitem__(self, population: int) -> Float[Array, "..."]:
        return self.errors[population]

    def __iter__(self) -> Iterator[Float[Array, "..."]]:
        return iter(self.errors)

    def __len__(self) -> int:
        return len(self.errors)


class AbstractFeedback(eqx.Module):
    """Carries the output error ``e_L`` back to every population.

    The state holds what the pathway needs during one episode: random matrices, or nothing.
    """

    looks_ahead: ClassVar[bool] = False
    """Whether the pathway needs the weights at the end of the episode, see ``look_ahead``."""

    @abstractmethod
    def init(self, key: Key[Array, ""], network: AbstractPlasticNetwork) -> PyTree:
        """Draw the pathway's state for one episode."""

    @abstractmethod
    def errors(
        self,
        state: PyTree,
        network: AbstractPlasticNetwork,
        weights: Weights,
        activity: Activity,
        output_error: Error,
        key: Key[Array, ""],
    ) -> Errors:
        """Errors of all populations for one example at one step of time.

        Args:
            state: the pathway's state.
            network: the network.
            weights: its weights.
            activity: its activity for this example.
            output_error: error of the output, the derivative of the loss with respect to the logits.
            key: randomness of this step.
        """

    def drawn(
        self, key: Key[Array, ""], network: AbstractPlasticNetwork, *, only_missing: bool = False
    ) -> "AbstractFeedback":
        """The pathway with its meta-learned weights drawn anew for this network; by default there are none.

        Args:
            key: randomness of the weights.
            network: the network that it serves.
            only_missing: leave weights that are there as they are.
        """
        del key, network, only_missing
        return self

    def learn(self, state: PyTree, changes: LayerChanges) -> tuple[PyTree, LayerChanges]:
        """Let the pathway change along with the forward weights; by default it does not change.

        Args:
            state: the pathway's state before the step.
            changes: updates of the weights that act within a step of time, by the rule.

        Returns:
            The updates of the state, in its own structure with a tuple of updates in place of each matrix, and the
            updates of the forward weights, to which the pathway may have added some.
        """
        return jax.tree.map(lambda _: (), state), changes

    def memory(self, network: AbstractPlasticNetwork) -> PyTree:
        """What the pathway remembers from step to step, at the start; by default nothing."""
        del network
        return ()

    def remember(self, memory: PyTree, errors: Errors) -> tuple[Errors, PyTree]:
        """What arrives at this step, given what was sent, and the memory after that; by default what was sent."""
        return errors, memory

    def scalars(self) -> dict[str, Float[Array, ""]]:
        """Meta-learned numbers of the pathway to record, by name."""
        return {}

    def look_ahead(self, state: PyTree, final_weights: Weights) -> PyTree:
        """The state with the weights at the end of the episode in it; only called if ``looks_ahead``."""
        return state


def forward(network: AbstractPlasticNetwork, per_connection: Sequence) -> tuple:
    """Of one thing per connection, those of the connections that feedback runs along."""
    return tuple(per_connection[number] for number in network.forward_connections)


def told(network: AbstractPlasticNetwork, activity: Activity, population: int, signal: Array) -> Array:
    """A learning signal times the derivative of the activity of its population."""
    is_output = population == len(network.populations) - 1
    return signal if is_output else signal * network.slope(activity, population)


def chain(
    network: AbstractPlasticNetwork,
    activity: Activity,
    output_error: Error,
    back: Sequence[Callable[[Float[Array, "..."]], Float[Array, "..."]]],
    direct: PerPopulation | None = None,
) -> Errors:
    """``e_{l-1} = back_l(e_l) * sigma'(z_{l-1})`` from the output to the input.

    Args:
        network: the network.
        activity: its activity for this example.
        output_error: error of the output.
        back: for each connection that acts within a step of time, the function that carries the error of its
            post-synaptic population to the pre-synaptic one.
        direct: a further learning signal of every population below the output, which is added.

    Source: Shervani-Tabar & Rosenbaum (2023), Eq. 3.
    """
    last = len(network.populations) - 1
    signals = {last: output_error}
    errors = {last: told(network, activity, last, output_error)}
    paths = list(zip(forward(network, network.connections), back, strict=True))
    for population in range(last - 1, -1, -1):
        arriving = [carry(errors[it.post]) for it, carry in paths if it.pre == population]
        if direct is not None:
            arriving.append(direct[population])
        nothing = jnp.zeros_like(activity.y[population])
        signals[population] = sum(arriving[1:], start=arriving[0]) if arriving else nothing
        errors[population] = told(network, activity, population, signals[population])
    order = range(last + 1)
    return Errors(tuple(errors[p] for p in order), tuple(signals[p] for p in order))


def through(network: AbstractPlasticNetwork, matrices: Sequence[Float[Array, "_ _"]]) -> list[Callable]:
    """Functions for ``chain`` that carry errors back through one matrix per connection."""
    pairs = zip(forward(network, network.connections), matrices, strict=True)
    return [lambda e, wiring=it.wiring, matrix=matrix: wiring.back(matrix, e) for it, matrix in pairs]
