"""e-prop: the gradient of a recurrent spiking network without backpropagation through time.

The eligibility of a synapse, its effect on its own neuron, is multiplied by the learning signal of that neuron. The
effect of a spike on other neurons is left out; everything else is exact. Two forms give the same numbers: one stores
the activity of a whole sequence and takes one matrix product; the other runs forward in time and stores no history.

Source: Bellec et al. (2020); Zucchet et al. (2022), supplement.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metaplax.networks import AbstractSurrogate, Recording, RecurrentLIF, SpikingWeights
from metaplax.networks.recurrent_lif import delayed, leaky_sum

Signal = Float[Array, "time batch hidden"]


class Traces(eqx.Module):
    """Traces at every step: the eligibility of a synapse is ``pseudo`` times its pre-synaptic trace.

    (With neurons that adapt, the effect of the synapse on the threshold is subtracted.)

    Attributes:
        pseudo: pseudo-derivative of the post-synaptic spikes.
        input: leaky sum of the input.
        recurrent: leaky sum of the spikes before.
        readout: leaky sum of the spikes, with the time constant of the readout.
    """

    pseudo: Float[Array, "time batch hidden"]
    input: Float[Array, "time batch inputs"]
    recurrent: Float[Array, "time batch hidden"]
    readout: Float[Array, "time batch hidden"]


def eprop_traces(
    network: RecurrentLIF,
    recording: Recording,
    x: Float[Array, "time batch inputs"],
    pseudo: AbstractSurrogate,
    ahead: bool = False,
) -> Traces:
    """The traces of all synapses, from a recording.

    Args:
        network: the network that was recorded.
        recording: its activity.
        x: its input.
        pseudo: pseudo-derivative of a spike.
        ahead: pair a voltage with the input of its own step, which it does not depend on yet, as the published code.
    """
    return Traces(
        pseudo=pseudo(network.distance(recording.voltages, recording.adaptation)),
        input=leaky_sum(network.alpha, x if ahead else delayed(x)),
        recurrent=leaky_sum(network.alpha, delayed(recording.spikes)),
        readout=leaky_sum(network.kappa, recording.spikes),
    )


def eprop_whole(
    network: RecurrentLIF,
    traces: Traces,
    error: Float[Array, "time batch outputs"],
    feedback: Float[Array, "outputs hidden"],
    rate_signal: Float[Array, "batch hidden"],
) -> SpikingWeights:
    """The e-prop gradient of ``1/2 sum error^2`` from a whole recording, as matrix products.

    The filter of the readout is moved from the eligibilities, of which there is one per synapse, to the learning
    signals, of which there is one per neuron.

    Args:
        network: the network that was recorded.
        traces: traces of its synapses.
        error: outputs minus targets at every step.
        feedback: weights by which errors reach the neurons: the readout weights, or fixed random ones.
        rate_signal: a further learning signal that is the same at every step.
    """
    learning = leaky_sum(network.kappa, error @ feedback, backwards=True) + rate_signal[None]
    local = traces.pseudo * (learning + _through_adaptation(network, traces.pseudo, learning))
    return SpikingWeights(
        _summed_outer(local, traces.input),
        _summed_outer(local, traces.recurrent),
        _summed_outer(error, traces.readout),
    )


def _through_adaptation(network: RecurrentLIF, psi: Signal, learning: Signal) -> Signal | float:
    """The part of the learning signal that comes through a raised threshold later; zero if neurons do not adapt."""
    if not network.adaptation:
        return 0.0

    def step(later, now):
        psi, learning = now
        return network.rho * later - network.adaptation * psi * (learning + later), later

    return jax.lax.scan(step, jnp.zeros_like(psi[0]), (psi, learning), reverse=True)[1]


def _summed_outer(
    post: Float[Array, "time batch post"], pre: Float[Array, "time batch pre"]
) -> Float[Array, "post pre"]:
    return post.reshape(-1, post.shape[-1]).T @ pre.reshape(-1, pre.shape[-1])


def eprop_online(
    network: RecurrentLIF,
    weights: SpikingWeights,
    x: Float[Array, "time batch inputs"],
    target: Float[Array, "time batch outputs"],
    feedback: Float[Array, "outputs hidden"],
    pseudo: AbstractSurrogate,
    rate_signal: Callable[[Float[Array, " hidden"]], Float[Array, " hidden"]],
    ahead: bool = False,
) -> SpikingWeights:
    """The same gradient, computed along with the network: memory does not grow with the number of steps.

    Args:
        network: the network.
        weights: its weights.
        x: its input.
        target: targets of the outputs at every step.
        feedback: weights by which errors reach the neurons.
        pseudo: pseudo-derivative of a spike.
        rate_signal: maps a sequence's firing rates to a further learning signal.
        ahead: as in ``eprop_traces``.
    """

    def one(x: Float[Array, "time inputs"], target: Float[Array, "time outputs"]) -> SpikingWeights:
        return _online_of_one(network, weights, x, target, feedback, pseudo, rate_signal, ahead)

    return jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), jax.vmap(one, in_axes=1)(x, target))


def _online_of_one(network, weights, x, target, feedback, pseudo, rate_signal, ahead) -> SpikingWeights:
    """The gradient of one sequence; every trace is a number per neuron or per synapse, not per step."""
    sizes = (network.inputs, network.hidden)
    neurons = jnp.zeros(network.hidden, x.dtype)
    synapses = tuple(jnp.zeros((network.hidden, size), x.dtype) for size in sizes)
    silent = (neurons[None],) * 3, jnp.zeros(network.outputs, x.dtype)
    traces = (jnp.zeros(network.inputs, x.dtype), neurons, neurons), synapses, synapses, synapses
    start = silent, traces, (synapses, jnp.zeros_like(weights.readout)), jnp.zeros_like(x[0]), neurons

    def step(carry, now):
        ((voltages, adaptation, spikes), output), traces, (gradients, readout), before, count = carry
        (inputs, recurrent, filtered), adapted, eligible, total = traces
        x, target = now
        inputs = network.alpha * inputs + (x if ahead else before)
        filtered = network.kappa * filtered + spikes[0]
        output = network.kappa * output + weights.readout @ spikes[0]
        error = output - target
        psi = pseudo(network.distance(voltages, adaptation))[0]
        flow = [jnp.broadcast_to(pre[None], leaf.shape) for pre, leaf in zip((inputs, recurrent), adapted, strict=True)]
        effect = [psi[:, None] * (pre - network.adaptation * slow) for pre, slow in zip(flow, adapted, strict=True)]
        adapted = tuple(network.rho * slow + now for slow, now in zip(adapted, effect, strict=True))
        eligible = tuple(network.kappa * old + now for old, now in zip(eligible, effect, strict=True))
        total = tuple(map(jnp.add, total, effect))
        local = error @ feedback
        gradients = tuple(old + local[:, None] * now for old, now in zip(gradients, eligible, strict=True))
        readout = readout + error[:, None] * filtered[None]
        recurrent = network.alpha * recurrent + spikes[0]
        current = x @ weights.input.T + spikes[0] @ weights.recurrent.T
        state = network.advance((voltages, adaptation, spikes), current[None])
        traces = (inputs, recurrent, filtered), adapted, eligible, total
        return ((state, output), traces, (gradients, readout), x, count + spikes[0]), None

    (_, (*_, total), (gradients, readout), _, count), _ = jax.lax.scan(step, start, (x, target))
    signal = rate_signal(count / len(x))
    inputs, recurrent = (g + signal[:, None] * e for g, e in zip(gradients, total, strict=True))
    return SpikingWeights(inputs, recurrent, readout)
