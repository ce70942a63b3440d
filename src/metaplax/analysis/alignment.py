"""Alignment of errors with those of backprop, and orthonormality of weights."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from metaplax.feedback import AbstractFeedback, Symmetric
from metaplax.networks import AbstractPlasticNetwork
from metaplax.tasks import Examples


def angle(u: Float[Array, " n"], v: Float[Array, " n"]) -> Float[Array, ""]:
    """Angle between two vectors in degrees; 0 where one of them is zero or rounding leaves no angle."""
    cosine = u @ v / jnp.sqrt((u @ u) * (v @ v))
    degrees = jnp.degrees(jnp.arccos(jnp.clip(cosine, -1.0, 1.0)))
    return jnp.where(jnp.isnan(degrees), 0.0, degrees)


def alignment_angles(
    network: AbstractPlasticNetwork, feedback: AbstractFeedback, state: PyTree, query: Examples
) -> dict[str, Array]:
    """``angle<l>``: angle in degrees between the errors of the feedback pathway and those of backprop in layer ``l``.

    Errors are averaged over the query set before the angle is taken. Layer 0 is the input, with its
    synthetic error. Source: Shervani-Tabar & Rosenbaum (2023), Fig. 1b; the published code's average.
    """

    def errors(x, y):
        activity = network.run(state.weights, x)
        output_error = network.readout.error(activity.y[-1], y)
        arguments = (network, state.weights, activity, output_error, jax.random.key(0))
        return feedback.errors(state.feedback, *arguments), Symmetric().errors(None, *arguments)

    taught, exact = jax.tree.map(lambda e: jnp.mean(e, axis=0), jax.vmap(errors)(query.x, query.y))
    return {f"angle{layer}": angle(u, v) for layer, (u, v) in enumerate(zip(taught, exact, strict=True))}


def feedback_cosines(
    network: AbstractPlasticNetwork, feedback: AbstractFeedback, state: PyTree, query: Examples
) -> dict[str, Array]:
    """``feedback_cosine<l>``: cosine between the forward and the feedback weights of layer ``l``, as vectors.

    One where feedback is that of backprop, about zero where the two have nothing in common. The first layer, whose
    feedback weights only carry the synthetic error of the input, is left out. Source: Shervani-Tabar & Rosenbaum
    (2023), Eq. 9.

    Raises:
        ValueError: the pathway has no weights in the shape of the forward ones.
    """
    del query
    backward = state.feedback
    if not isinstance(backward, tuple) or [leaf.shape for leaf in backward] != [w.shape for w in state.weights]:
        raise ValueError(f"{type(feedback).__name__} has no feedback weights in the shape of the forward ones")
    cosines = [
        jnp.sum(w * b) / jnp.sqrt(jnp.sum(w**2) * jnp.sum(b**2)) for w, b in zip(state.weights, backward, strict=True)
    ]
    del network
    return {f"feedback_cosine{layer}": value for layer, value in enumerate(cosines, start=1) if layer > 1}


def orthonormality_error(
    network: AbstractPlasticNetwork, feedback: AbstractFeedback, state: PyTree, query: Examples
) -> dict[str, Array]:
    """``orthonormality<l>``: ``|z_l - W_l W_l^T y_l|^2`` of layer ``l``, mean over the query set.

    Zero where the rows of the weights are orthonormal on what the layer carries. The published code adds
    up over the query set instead. Source: Shervani-Tabar & Rosenbaum (2023), Eqs. 11 and 12.

    Raises:
        ValueError: a layer of the network sees only patches, or its synapses are delayed.
    """
    if any(it.delayed or it.wiring.positions or it.wiring.bias for it in network.connections):
        raise ValueError("the orthonormality of weights is measured in networks of all-to-all layers without biases")
    del feedback

    def errors(x):
        activity = network.run(state.weights, x)
        layers = zip(state.weights, activity.y[1:], activity.z, strict=True)
        return tuple(jnp.sum((z - w @ (y @ w)) ** 2) for w, y, z in layers)

    means = jax.tree.map(jnp.mean, jax.vmap(errors)(query.x))
    return {f"orthonormality{layer}": value for layer, value in enumerate(means, start=1)}
