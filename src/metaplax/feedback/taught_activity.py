"""Learned feedback straight from the output, which tells every population the activity that it should have."""

from collections.abc import Sequence
from math import prod
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from metaplax.feedback.base import AbstractFeedback, Errors, told
from metaplax.networks import AbstractPlasticNetwork, Affine, Population
from metaplax.networks.layers import dense_layers

Signal = Literal["target", "error"]
OutputPath = Literal["drawn", "identity", "none"]


class LearnedPath(eqx.Module):
    """``f = ReLU(B s + c)``, or several such maps in sequence: the feedback that a population gets for a signal ``s``.

    It uses neither derivatives of activations nor forward weights.

    Args:
        key: key of the initial weights, which are Kaiming normal; biases start at zero.
        sizes: sizes of the signal, of hidden layers of the path if there are any, and of the population.
        gain: factor of the initial weights, in every layer of the path.
        identity: start with the identity times ``gain`` in place of random weights.
        linear: leave out the ReLUs.

    Source: Lindsey & Litwin-Kumar (2020), section 3.
    """

    layers: tuple[Affine, ...]
    linear: bool = eqx.field(static=True)

    def __init__(
        self,
        key: Key[Array, ""],
        sizes: Sequence[int],
        *,
        gain: float = 1.0,
        identity: bool = False,
        linear: bool = False,
    ):
        self.linear = linear
        layers = []
        for layer in dense_layers(key, tuple(sizes)):
            weight = jnp.eye(*layer.weight.shape, dtype=layer.weight.dtype) if identity else layer.weight
            layers.append(Affine(gain * weight, layer.bias))
        self.layers = tuple(layers)

    def __call__(self, signal: Float[Array, " outputs"]) -> Float[Array, " post"]:
        """The feedback for one signal."""
        for layer in self.layers:
            signal = signal @ layer.weight.T + layer.bias
            signal = signal if self.linear else jax.nn.relu(signal)
        return signal


class TaughtActivity(AbstractFeedback):
    """A signal ``s`` at the output reaches every population by a path ``f_l`` of its own and says what it should do.

    The activity that population ``l`` should have is ``x~_l = beta_l f_l(s) + (1 - beta_l) y_l``. Its learning signal
    is therefore ``y_l - x~_l``, and terms inside ``Taught`` see ``x~_l`` in place of ``y_l``. Paths and mixing
    ``beta`` are meta-learned and do not change within an episode. The paths are drawn by the learner.

    Args:
        signal: the target (classes are one-hot), or ``"error"``: target minus output.
        mixing: initial value of every ``beta``.
        output_path: whether the output, too, has a path and a mixing: one that is drawn like the others, one that
            starts as the identity, or none, where it should be the signal itself.
        hidden_paths: whether hidden populations have a path; those without one are told nothing.
        gain: factor of the initial weights of paths. The smaller the fed-back activity, the less Oja's rule forgets for
            the same amount of learning.
        linear: leave the ReLUs of the paths out.
        widths: sizes of hidden layers of every path.
        paths: for every population but the input its path, or ``None`` if it has none; drawn if not given.

    Raises:
        ValueError: a path with hidden layers is to start as the identity.

    Source: Lindsey & Litwin-Kumar (2020), section 3, and code.
    """

    paths: tuple[LearnedPath | None, ...] | None
    mixing: Float[Array, "*populations"]
    signal: Signal = eqx.field(static=True)
    output_path: OutputPath = eqx.field(static=True)
    hidden_paths: bool = eqx.field(static=True)
    gain: float = eqx.field(static=True)
    linear: bool = eqx.field(static=True)
    widths: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self,
        signal: Signal = "target",
        mixing: float = 0.5,
        *,
        output_path: OutputPath = "none",
        hidden_paths: bool = True,
        gain: float = 1.0,
        linear: bool = False,
        widths: tuple[int, ...] = (),
        paths: tuple[LearnedPath | None, ...] | None = None,
    ):
        if output_path == "identity" and widths:
            raise ValueError("a path with hidden layers cannot start as the identity")
        self.signal, self.output_path, self.hidden_paths = signal, output_path, hidden_paths
        self.gain, self.linear, self.widths = gain, linear, tuple(widths)
        self.mixing, self.paths = jnp.asarray(mixing, float), paths

    def init(self, key: Key[Array, ""], network: AbstractPlasticNetwork) -> PyTree:
        if self.paths is None:
            raise ValueError("learned feedback has no weights yet: make it with .drawn(key, network)")
        return ()

    def drawn(
        self, key: Key[Array, ""], network: AbstractPlasticNetwork, *, only_missing: bool = False
    ) -> "TaughtActivity":
        if only_missing and self.paths is not None:
            return self
        taught = network.populations[1:]
        hidden = "drawn" if self.hidden_paths else "none"
        kinds = (*[hidden] * (len(taught) - 1), self.output_path)
        keys = jax.random.split(key, len(taught))
        paths = tuple(self._path(*each, network.outputs) for each in zip(keys, kinds, taught, strict=True))
        where = lambda it: (it.paths, it.mixing)  # noqa: E731
        mixing = jnp.broadcast_to(self.mixing, (len(taught),))
        return eqx.tree_at(where, self, (paths, mixing), is_leaf=lambda leaf: leaf is None)

    def errors(self, state, network, weights, activity, output_error, key):
        signal = -output_error if self.signal == "error" else activity.y[-1] - output_error
        if self.signal == "error" and network.readout.takes == "classes":
            # As published, what is fed back of classes is a gradient that counts as given.
            signal = jax.lax.stop_gradient(signal)
        signals = [jnp.zeros_like(activity.y[0])]
        paths = self.paths or ()
        for number, path in enumerate(paths, start=1):
            y = activity.y[number]
            if path is not None:
                signals.append(self.mixing[number - 1] * (y - path(signal).reshape(y.shape)))
            else:
                signals.append(y - signal if number == len(paths) else jnp.zeros_like(y))
        return Errors(tuple(told(network, activity, n, each) for n, each in enumerate(signals)), tuple(signals))

    def scalars(self) -> dict[str, Float[Array, ""]]:
        return {f"mixing{number}": value for number, value in enumerate(jnp.atleast_1d(self.mixing), start=1)}

    def _path(self, key: Key[Array, ""], kind: str, population: Population, outputs: int) -> LearnedPath | None:
        if kind == "none":
            return None
        sizes = (outputs, *self.widths, prod(population.shape))
        return LearnedPath(key, sizes, gain=self.gain, identity=kind == "identity", linear=self.linear)
