"""Direct feedback alignment: the output error reaches every layer through a matrix of its own."""

from jaxtyping import Array, Float, Key

from metaplax.feedback.base import AbstractFeedback, Errors
from metaplax.networks import MLP, Activity, Weights
from metaplax.networks.mlp import glorot_uniform


class Direct(AbstractFeedback):
    """``e_l = D_l^T e_L * sigma'(z_l)`` for every layer below the output, the input included.

    ``D_l`` has shape ``(n_L, n_l)`` and is Glorot uniform. Source: Nøkland (2016).
    """

    def init(self, key: Key[Array, ""], network: MLP) -> Weights:
        *below, output = network.sizes
        return glorot_uniform(key, [(output, size) for size in below])

    def errors(
        self, state: Weights, network: MLP, weights: Weights, activity: Activity, output_error: Float[Array, " n_L"]
    ) -> Errors:
        del weights
        below = (
            (output_error @ d) * network.activation.derivative(y) for d, y in zip(state, activity.y[:-1], strict=True)
        )
        return (*below, output_error)
