"""Terms of spiking networks: pair STDP, and the sensitivity of neurons with an adaptive threshold."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from metaplax.plasticity.memory import AbstractMemoryTerm, logarithm
from metaplax.plasticity.signals import Signals
from metaplax.plasticity.terms import slope_of
from metaplax.plasticity.updates import AbstractUpdate, BatchOuter, Dense


class STDP(AbstractMemoryTerm):
    """``y_l x_{l-1}^T - depression x_l y_{l-1}^T``: pair-based spike-timing dependent plasticity.

    The traces ``x <- x exp(-1/tau) + y`` remember the spikes of either side. The synapse is strengthened where the
    post-synaptic neuron spikes after the pre-synaptic one, and weakened where it spikes before. Spikes of the same step
    count on both sides. Source: Song, Miller & Abbott (2000).

    Args:
        tau_pre: time constant of the trace before the synapse, in steps; meta-learned as its logarithm.
        tau_post: the same behind the synapse.
        depression: how much weakening counts; meta-learned.

    Raises:
        ValueError: a time constant is not positive.
    """

    name = "stdp"
    text, latex = "STDPₗ", r"\mathrm{STDP}_\ell"
    log_pre: Float[Array, ""]
    log_post: Float[Array, ""]
    depression: Float[Array, ""]

    def __init__(self, tau_pre: float = 20.0, tau_post: float = 20.0, depression: float = 1.05):
        self.log_pre, self.log_post = logarithm(tau_pre), logarithm(tau_post)
        self.depression = jnp.asarray(depression, float)

    def init(self, post: int, pre: int) -> tuple[Float[Array, " post"], Float[Array, " pre"]]:
        return jnp.zeros(post), jnp.zeros(pre)

    def __call__(self, signals: Signals, memory: tuple[Array, Array]) -> tuple[AbstractUpdate, tuple[Array, Array]]:
        behind, before = memory
        before = jnp.exp(-jnp.exp(-self.log_pre)) * before + signals.pre
        behind = jnp.exp(-jnp.exp(-self.log_post)) * behind + signals.post
        post = jnp.stack([signals.post, -self.depression * behind])
        return BatchOuter(post, jnp.stack([before, signals.pre])), (behind, before)


class AdaptiveSensitivity(AbstractMemoryTerm):
    """``Sensitivity`` of spiking neurons whose threshold rises with every spike, as e-prop has it for ALIF neurons.

    ``F = -psi_l (y_{l-1}^T - adaptation a_l)`` with ``a_l <- decay a_l - F``, one number per synapse.

    Args:
        adaptation: increase of the threshold per spike, as that of the neurons.
        decay: factor of the adaptation in one step, likewise.

    Source: Bellec et al. (2020), Eqs. 24 and 25.
    """

    name, sign = "sa", -1
    text, latex = "ψₗ (yₗ₋₁ᵀ − β aₗ)", r"\psi_\ell\, (y_{\ell-1}^\top - \beta\, a_\ell)"
    adaptation: float = 1.0
    decay: float = 0.995

    def init(self, post: int, pre: int) -> Float[Array, "post pre"]:
        return jnp.zeros((post, pre))

    def __call__(self, signals: Signals, memory: Float[Array, "post pre"]) -> tuple[Dense, Float[Array, "post pre"]]:
        effect = slope_of(signals)[:, None] * (signals.pre[None] - self.adaptation * memory)
        return Dense(-effect), self.decay * memory + effect
