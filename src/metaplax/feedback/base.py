"""The interface of a feedback pathway, and the chain that most pathways share."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key, PyTree

from metaplax.networks import MLP, Activity, Weights
from metaplax.plasticity import Changes

Errors = tuple[Float[Array, "..."], ...]
"""``e_0..e_L``; ``e_0`` is the synthetic error of the input layer (Eq. 24 of Shervani-Tabar & Rosenbaum, 2023)."""

LayerChanges = tuple[Changes, ...]
"""For each layer, the changes that the rule asks for."""


class AbstractFeedback(eqx.Module):
    """Carries the output error ``e_L`` back to every layer.

    The state holds whatever the pathway needs during one episode: random matrices, or nothing.
    """

    looks_ahead: ClassVar[bool] = False
    """Whether the pathway must be told the weights at the end of the episode, see :meth:`look_ahead`."""

    @abstractmethod
    def init(self, key: Key[Array, ""], network: MLP) -> PyTree:
        """Draw the pathway's state for one episode."""

    @abstractmethod
    def errors(
        self, state: PyTree, network: MLP, weights: Weights, activity: Activity, output_error: Float[Array, " n_L"]
    ) -> Errors:
        """Errors ``e_0..e_L`` of all layers for one example."""

    def learn(self, state: PyTree, changes: LayerChanges) -> tuple[PyTree, LayerChanges]:
        """Let the pathway change along with the forward weights; by default it stays as it is.

        Args:
            state: the pathway's state before the step.
            changes: what the rule asks of the forward weights.

        Returns:
            the changes of the state, in its own structure, with a tuple of updates in place of each matrix;
            and the changes of the forward weights, to which the pathway may have added.
        """
        return jax.tree.map(lambda _: (), state), changes

    def scalars(self) -> dict[str, Float[Array, ""]]:
        """Meta-learned numbers of the pathway worth plotting, by name."""
        return {}

    def look_ahead(self, state: PyTree, final_weights: Weights) -> PyTree:
        """Tell the pathway how the episode will end; only asked for if :attr:`looks_ahead`."""
        del final_weights
        return state


def chain(
    network: MLP,
    activity: Activity,
    output_error: Float[Array, " n_L"],
    back: Sequence[Callable[[Float[Array, " post"]], Float[Array, " pre"]]],
) -> Errors:
    """``e_{l-1} = back_l(e_l) * sigma'(z_{l-1})`` from the output to the input (Eq. 3)."""
    errors = [output_error]
    for layer in range(network.depth, 0, -1):
        derivative = network.activation.derivative(activity.y[layer - 1])
        errors.append(back[layer - 1](errors[-1]) * derivative)
    return tuple(reversed(errors))
