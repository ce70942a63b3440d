"""The interface of a feedback pathway, and the recursion over layers that most pathways share."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key, PyTree

from metaplax.networks import MLP, Activity, Weights
from metaplax.plasticity import Changes

Error = Float[Array, " n_L"]
"""The output error ``e_L``, one number per output."""

Errors = tuple[Float[Array, "..."], ...]
"""``e_0..e_L``; ``e_0`` is the synthetic error of the input layer (Eq. 24 of Shervani-Tabar & Rosenbaum, 2023)."""

LayerChanges = tuple[Changes, ...]
"""The updates of every layer in one step."""


class AbstractFeedback(eqx.Module):
    """Carries the output error ``e_L`` back to every layer.

    The state holds what the pathway needs during one episode: random matrices, or nothing.
    """

    looks_ahead: ClassVar[bool] = False
    """Whether the pathway needs the weights at the end of the episode, see ``look_ahead``."""

    @abstractmethod
    def init(self, key: Key[Array, ""], network: MLP) -> PyTree:
        """Draw the pathway's state for one episode."""

    @abstractmethod
    def errors(self, state: PyTree, network: MLP, weights: Weights, activity: Activity, output_error: Error) -> Errors:
        """Errors ``e_0..e_L`` of all layers for one example.

        Args:
            state: the pathway's state.
            network: the network.
            weights: its weights.
            activity: its activity for this example.
            output_error: error of the output layer.
        """

    def learn(self, state: PyTree, changes: LayerChanges) -> tuple[PyTree, LayerChanges]:
        """Let the pathway change along with the forward weights; by default it does not change.

        Args:
            state: the pathway's state before the step.
            changes: updates of the forward weights by the rule.

        Returns:
            The updates of the state, in its own structure with a tuple of updates in place of each matrix, and the
            updates of the forward weights, to which the pathway may have added some.
        """
        return jax.tree.map(lambda _: (), state), changes

    def scalars(self) -> dict[str, Float[Array, ""]]:
        """Meta-learned numbers of the pathway to record, by name."""
        return {}

    def look_ahead(self, state: PyTree, final_weights: Weights) -> PyTree:
        """The state with the weights at the end of the episode in it; only called if ``looks_ahead``."""
        return state


def chain(
    network: MLP,
    activity: Activity,
    output_error: Error,
    back: Sequence[Callable[[Float[Array, " post"]], Float[Array, " pre"]]],
) -> Errors:
    """``e_{l-1} = back_l(e_l) * sigma'(z_{l-1})`` from the output to the input.

    Args:
        network: the network.
        activity: its activity for this example.
        output_error: error of the output layer.
        back: for each layer ``l = 1..L`` the function that carries its error to the layer below.

    Source: Shervani-Tabar & Rosenbaum (2023), Eq. 3.
    """
    errors = [output_error]
    for layer in range(network.depth, 0, -1):
        derivative = network.activation.derivative(activity.y[layer - 1])
        errors.append(back[layer - 1](errors[-1]) * derivative)
    return tuple(reversed(errors))
