"""What a plastic network is: populations of neurons, and connections whose synapses can see both of their sides."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from equinox import AbstractVar
from jaxtyping import Array, Float, Key, Num, PyTree

from metaplax.networks.constraints import AbstractConstraint
from metaplax.networks.layers import glorot_uniform
from metaplax.networks.neurons import AbstractNeurons
from metaplax.networks.readouts import AbstractReadout
from metaplax.networks.wiring import AbstractWiring, Shape

Weights = tuple[Float[Array, "_ _"], ...]
"""One matrix per connection; row ``j`` belongs to post-synaptic neuron ``j``, column ``k`` to pre-synaptic ``k``."""

Dynamics = tuple[tuple[PyTree, Float[Array, "..."]], ...]
"""For every population: the memory of its neurons, and its activity at the last step of time."""


class Population(eqx.Module):
    """Neurons of one kind.

    Attributes:
        shape: of their activity: ``(neurons,)``, or height, width and channels.
        neurons: what they do with their input. Those of the input population only say by which derivative its
            synthetic error ``e_0`` is multiplied.
    """

    shape: Shape = eqx.field(static=True)
    neurons: AbstractNeurons


class Connection(eqx.Module):
    """Synapses from one population to another, or to itself.

    Attributes:
        pre: number of the pre-synaptic population; 0 is the input.
        post: number of the post-synaptic population.
        wiring: the layout of the synapses.
        delayed: whether they carry the activity of the last step of time, as recurrent ones do. Feedback pathways
            carry no error back along those.
        constraint: what the weights must be, if anything: signs, zeros, a norm.
    """

    pre: int = eqx.field(static=True)
    post: int = eqx.field(static=True)
    wiring: AbstractWiring
    delayed: bool = eqx.field(static=True, default=False)
    constraint: AbstractConstraint | None = None


class Activity(eqx.Module):
    """What a network did in one step of time.

    Attributes:
        y: ``y[p]`` is the activity of population ``p``; ``y[0]`` is the input.
        z: ``z[p - 1]`` is what the nonlinearity of population ``p`` is applied to.
        before: activity of every population at the last step of time; empty in a network without delayed connections.
    """

    y: tuple[Float[Array, "..."], ...]
    z: tuple[Float[Array, "..."], ...]
    before: tuple[Float[Array, "..."], ...] = ()

    @property
    def logits(self) -> Float[Array, "..."]:
        """What the readout is applied to."""
        return self.z[-1]


class AbstractPlasticNetwork(eqx.Module):
    """Populations joined by connections; the last population is the output.

    Within a step of time populations are computed in order, so a connection goes to a later population, or is delayed.
    The neurons of the output have no nonlinearity: the readout is theirs.
    """

    readout: AbstractVar[AbstractReadout]

    @property
    @abstractmethod
    def populations(self) -> tuple[Population, ...]:
        """The populations; number 0 is the input."""

    @property
    @abstractmethod
    def connections(self) -> tuple[Connection, ...]:
        """The connections, in the order of their weights."""

    @property
    def forward_connections(self) -> tuple[int, ...]:
        """Numbers of the connections that act within a step of time: feedback pathways run along those."""
        return tuple(number for number, it in enumerate(self.connections) if not it.delayed)

    @property
    def has_time(self) -> bool:
        """Whether anything is remembered from step to step, so that an input is a sequence."""
        memories = jax.eval_shape(lambda: [it.neurons.start(it.shape) for it in self.populations[1:]])
        return bool(jax.tree.leaves(memories)) or any(it.delayed for it in self.connections)

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Shape of the weights of every connection."""
        return tuple(connection.wiring.shape for connection in self.connections)

    @property
    def inputs(self) -> Shape:
        """Shape of one input, or of its part at one step of time; by default that of population 0."""
        return self.populations[0].shape

    @property
    def outputs(self) -> int:
        """Number of output neurons."""
        return self.populations[-1].shape[0]

    def features(self, x: Num[Array, "..."]) -> Num[Array, "..."]:
        """What population 0 is given of inputs, whatever axes these have in front; by default the inputs themselves.

        It does not depend on the weights, so that a learner computes it of all examples at once.
        """
        return x

    def redrawn(self, key: Key[Array, ""]) -> "AbstractPlasticNetwork":
        """The same network with what it holds itself and starts at random drawn anew; by default that is nothing."""
        del key
        return self

    def init(self, key: Key[Array, ""]) -> Weights:
        """Draw all weights from the Glorot uniform distribution; biases are zero and constraints hold."""
        drawn = glorot_uniform(key, self.shapes)
        return tuple(map(_as_a_start, self.connections, drawn))

    def allowed(self, weights: Weights) -> Weights:
        """The nearest weights that all constraints allow: meta-learning moves weights freely."""
        pairs = zip(self.connections, weights, strict=True)
        return tuple(weight if it.constraint is None else it.constraint(weight) for it, weight in pairs)

    def start(self) -> Dynamics:
        """Everything silent, before the first step of time."""
        memories = [(), *(it.neurons.start(it.shape) for it in self.populations[1:])]
        return tuple((memory, jnp.zeros(it.shape)) for memory, it in zip(memories, self.populations, strict=True))

    def step(self, weights: Weights, dynamics: Dynamics, x: Float[Array, "..."]) -> tuple[Dynamics, Activity]:
        """One step of time for one example.

        Args:
            weights: one matrix per connection.
            dynamics: as ``start`` or the last step left it.
            x: input, of the shape of population 0.
        """
        pairs = tuple(zip(self.connections, weights, strict=True))
        has_delays = any(connection.delayed for connection in self.connections)
        before = tuple(y for _, y in dynamics) if has_delays else ()
        y, z, after = [x], [], [((), x)]
        for number, population in enumerate(self.populations[1:], start=1):
            currents = [
                connection.wiring(weight, before[connection.pre] if connection.delayed else y[connection.pre])
                for connection, weight in pairs
                if connection.post == number
            ]
            current = sum(currents[1:], start=currents[0])
            memory, potential, activity = population.neurons(dynamics[number][0], current)
            is_output = number == len(self.populations) - 1
            z.append(potential)
            y.append(self.readout(activity) if is_output else activity)
            after.append((memory, activity))
        return tuple(after), Activity(tuple(y), tuple(z), before)

    def slope(self, activity: Activity, population: int) -> Float[Array, "..."]:
        """Derivative, or pseudo-derivative, of a population's activity with respect to what it is applied to.

        That of the output is one: its error is a derivative with respect to the logits.
        """
        if population == len(self.populations) - 1:
            return jnp.ones_like(activity.z[-1])
        z = activity.y[0] if population == 0 else activity.z[population - 1]
        return self.populations[population].neurons.slope(z, activity.y[population])

    def __call__(self, weights: Weights, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Logits for one input; for a sequence ``(time, ...)``, at every step of time."""
        return self.run(weights, x).logits

    def run(self, weights: Weights, x: Float[Array, "..."]) -> Activity:
        """The activity for one input; for a sequence ``(time, ...)`` all arrays have an axis of time in front."""
        if not self.has_time:
            return self.step(weights, self.start(), x)[1]
        return jax.lax.scan(lambda dynamics, x: self.step(weights, dynamics, x), self.start(), x)[1]


def _as_a_start(connection: Connection, weight: Float[Array, "post pre"]) -> Float[Array, "post pre"]:
    if connection.wiring.bias:
        weight = weight.at[:, -1].set(0.0)
    return weight if connection.constraint is None else connection.constraint.start(weight)
