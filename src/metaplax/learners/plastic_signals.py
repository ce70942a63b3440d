"""What the synapses of every connection see, in one step of time or over a sequence."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Num, PyTree

from metaplax.feedback import AbstractFeedback, Errors
from metaplax.feedback.modulators import target_per_step
from metaplax.networks import (
    AbstractPlasticNetwork,
    AbstractReadout,
    AbstractWiring,
    Activity,
    Connection,
    Weights,
)
from metaplax.plasticity import Positions, Signals

Seen = dict[str, Array]
"""Signals of one connection by name, without the weights and modulators, which do not change within a sequence."""

STEEPEST = 100.0
"""A slope that is larger was computed of an activity that the activation function cannot give."""

Teach = Callable[[Activity, Float[Array, " outputs"], Key[Array, ""]], Errors]
"""What a pathway tells every population: of the activity, the output error and randomness of one step of time."""


def positions_of(wiring: AbstractWiring) -> Positions | None:
    """The positions that a connection has synapses at, as plasticity terms are told of them."""
    return None if wiring.positions is None else Positions(wiring.positions, wiring.shares_weights)


def seen_by(
    network: AbstractPlasticNetwork, connection: Connection, activity: Activity, errors: Errors, key: Key[Array, ""]
) -> Seen:
    """What the synapses of one connection see in one step of time; see ``Signals``."""
    wiring, pre, post = connection.wiring, connection.pre, connection.post
    before = activity.before[pre] if connection.delayed else activity.y[pre]
    injected = injected_into(network, post, activity)
    return {
        "pre": wiring.columns(before, 1.0),
        "post": wiring.rows(activity.y[post]),
        "pre_error": wiring.columns(errors[pre], 0.0),
        "post_error": wiring.rows(errors[post]),
        "preactivation": wiring.rows(activity.z[post - 1]),
        "post_slope": wiring.rows(network.slope(activity, post)),
        "post_signal": wiring.rows(errors.signals[post]),
        "key": jax.random.fold_in(key, post),
        **({} if injected is None else {"perturbation": wiring.rows(injected)}),
    }


def injected_into(network: AbstractPlasticNetwork, population: int, activity: Activity) -> Float[Array, "..."] | None:
    """The input current of a population that comes through no synapse; ``None`` if there is none."""
    into = [it for it in network.connections if it.post == population]
    found = [it.wiring.injected((activity.before if it.delayed else activity.y)[it.pre]) for it in into]
    found = [current for current in found if current is not None]
    return sum(found[1:], start=found[0]) if found else None


def teacher(feedback: AbstractFeedback, state: PyTree, network: AbstractPlasticNetwork, weights: Weights) -> Teach:
    """What a pathway in this state does for a network with these weights."""
    return lambda activity, error, key: feedback.errors(state, network, weights, activity, error, key)


def taught(
    feedback: AbstractFeedback,
    memory: PyTree,
    teach: Teach,
    activity: Activity,
    output_error: Float[Array, "*time outputs"],
    key: Key[Array, ""],
    has_time: bool,
) -> tuple[Errors, PyTree]:
    """What every population is told, and what the pathway remembers after that.

    Args:
        feedback: the pathway.
        memory: what it remembers.
        teach: made by ``teacher``.
        activity: of the network; with an axis of time in front if there is time.
        output_error: of the output, likewise.
        key: randomness.
        has_time: whether there is time.
    """
    if not has_time:
        return feedback.remember(memory, teach(activity, output_error, key))
    sent = jax.vmap(teach)(activity, output_error, jax.random.split(key, len(output_error)))
    if not jax.tree.leaves(memory):
        return feedback.remember(memory, sent)

    def remember(memory: PyTree, sent: Errors) -> tuple[PyTree, Errors]:
        arriving, memory = feedback.remember(memory, sent)
        return memory, arriving

    memory, arriving = jax.lax.scan(remember, memory, sent)
    return arriving, memory


def all_signals(
    network: AbstractPlasticNetwork,
    weights: Weights,
    activity: Activity,
    errors: Errors,
    modulators: Float[Array, " modulators"] | None,
    key: Key[Array, ""],
    has_time: bool,
) -> tuple[Signals, ...]:
    """The signals of all connections; with an axis of time in front of all but the weights, if there is time."""
    found, steps = [], activity.z[-1].shape[0]
    if has_time and modulators is not None:
        # What a whole sequence is rewarded with arrives at its end.
        modulators = jnp.zeros((steps, *modulators.shape), modulators.dtype).at[-1].set(modulators)
    for connection, weight in zip(network.connections, weights, strict=True):
        see = lambda activity, errors, key, it=connection: seen_by(network, it, activity, errors, key)  # noqa: E731
        seen = jax.vmap(see)(activity, errors, jax.random.split(key, steps)) if has_time else see(activity, errors, key)
        found.append(Signals(**seen, weight=weight, modulator=modulators))
    return tuple(found)


def scored_steps(steps: int, scored: int) -> Float[Array, " time"]:
    """One for every step of a sequence that is scored, zero for the others: the last ones, or all."""
    return jnp.where(jnp.arange(steps) >= steps - (scored or steps), 1.0, 0.0)


def scored_examples(
    readout: AbstractReadout, outputs: Float[Array, "batch time n"], y: Num[Array, "batch ..."], scored: int
) -> tuple[Float[Array, "rows n"], Num[Array, "rows ..."]]:
    """Outputs and targets of sequences at all steps that are scored, one row each."""
    steps, size = outputs.shape[1:]
    targets = jax.vmap(lambda y: target_per_step(readout, y, steps, size))(y)
    window = lambda each: each[:, -scored:].reshape(-1, *each.shape[2:])  # noqa: E731
    return window(outputs), window(targets)


def steep_inputs(network: AbstractPlasticNetwork, x: Num[Array, "examples ..."]) -> str | None:
    """What is wrong with inputs that no activity could be, in one sentence: their slope, and error, may be of any size.

    The slope is a function of the activity, and of inputs below zero a softplus makes one that grows exponentially.
    """
    weights, x = network.init(jax.random.key(0)), network.features(x)
    steepest = float(jnp.max(jnp.abs(jax.vmap(lambda x: network.slope(network.run(weights, x), 0))(x))))
    if steepest <= STEEPEST:
        return None
    return (
        f"inputs down to {float(jnp.min(x)):.3g} are outside of what the activation function gives, so that their error"
        f" is multiplied by up to {steepest:.2g}: give inputs that are not negative, or the network another activation"
        " function, such as Tanh()"
    )
