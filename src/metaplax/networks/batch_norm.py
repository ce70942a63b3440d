"""Weights of layers that are followed by batch normalisation."""

import equinox as eqx
from jaxtyping import Array, Float

EPSILON = 1e-5
"""What is added to variances."""


class Layer(eqx.Module):
    """Weights of one layer. Kernels have shape ``(row, column, in, out)``, matrices ``(in, out)``."""

    weight: Float[Array, "..."]
    bias: Float[Array, " out"]


class Normalised(eqx.Module):
    """Weights of one layer that is followed by batch normalisation with a learned affine map."""

    layer: Layer
    scale: Float[Array, " out"]
    shift: Float[Array, " out"]
