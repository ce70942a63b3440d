"""Terms of how the post-synaptic neuron fluctuates: what a reward that comes later can give credit to.

Inside ``Eligibility`` they make the rules of Miconi (2017) and Maoutsa (2025). Time is that of a sequence.
"""

from itertools import product
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from metaplax.plasticity.memory import AbstractMemoryTerm
from metaplax.plasticity.signals import Signals
from metaplax.plasticity.terms import AbstractTerm
from metaplax.plasticity.updates import Outer, Sum

Mean = tuple[Float[Array, " post"], Float[Array, ""]]
"""Running mean of the potential of every post-synaptic neuron, and the number of steps of the sequence so far."""


def signed_power(z: Float[Array, "..."], power: float) -> Float[Array, "..."]:
    """``sign(z) |z|^power``."""
    if power < 1:
        return jnp.sign(z) * jnp.abs(z) ** power
    # Whole powers are products, which is many times faster.
    rest = power - 1
    return z * jnp.abs(z) ** (int(rest) if float(rest).is_integer() else rest)


class AbstractFluctuation(AbstractMemoryTerm):
    """Sees the fluctuation ``d``: the potential minus its running mean ``m``, as it was before this step.

    The mean is carried from one sequence to the next, where the activity itself starts anew.
    """

    persistence: eqx.AbstractVar[float]
    after: eqx.AbstractVar[int]

    def __check_init__(self):
        if not 0 <= self.persistence < 1 or self.after < 0:
            raise ValueError(
                f"the mean persists by a factor in [0, 1), and steps are counted from 0, not {self.persistence} and"
                f" {self.after}"
            )

    def init(self, post: int, pre: int) -> Mean:
        # A whole number would have no derivative that estimators can add up, nor a mean over a batch.
        return jnp.zeros(post), jnp.zeros(())

    def lasting(self, memory: Mean) -> Float[Array, " post"]:
        return memory[0]

    def resumed(self, start: Mean, lasting: Float[Array, " post"]) -> Mean:
        return lasting, start[1]

    def fluctuation(self, signals: Signals, memory: Mean) -> tuple[Float[Array, " post"], Float[Array, ""], Mean]:
        """The fluctuation, one if this step counts or else zero, and the memory after it."""
        mean, step = memory
        counts = jnp.where(step >= self.after, 1.0, 0.0)
        moved = self.persistence * mean + (1 - self.persistence) * signals.preactivation
        return signals.preactivation - mean, counts, (moved, step + 1)


class Fluctuation(AbstractFluctuation):
    """``S(d_l) S(y_{l-1})^T`` with ``S(z) = sign(z) |z|^power``, so that it is ``S(d_l y_{l-1}^T)``.

    A perturbation makes one large fluctuation, and then many small ones of the other sign that add up to the same: for
    a power of 1 nothing is left of it, for larger powers the first one prevails.

    Args:
        power: of the product; 3 as published.
        post_only: whether the power is taken of the fluctuation alone.
        persistence: factor of the running mean in one step.
        after: first step of a sequence, from 0, that counts.

    Raises:
        ValueError: the power is not positive, or a number out of range.

    Source: Miconi (2017), section "Learning rule", and code.
    """

    name = "fluctuation"
    power: float = eqx.field(static=True, default=3.0)
    post_only: bool = eqx.field(static=True, default=False)
    persistence: float = eqx.field(static=True, default=0.05)
    after: int = eqx.field(static=True, default=3)

    def __check_init__(self):
        if not self.power > 0:
            raise ValueError(f"the power of a fluctuation must be positive, not {self.power}")

    @property
    def text(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return f"S(zₗ − mₗ) {'yₗ₋₁ᵀ' if self.post_only else 'S(yₗ₋₁)ᵀ'}"

    @property
    def latex(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return r"S(z_\ell - m_\ell)\, " + (r"y_{\ell-1}^\top" if self.post_only else r"S(y_{\ell-1})^\top")

    def __call__(self, signals: Signals, memory: Mean) -> tuple[Outer, Mean]:
        moved, counts, memory = self.fluctuation(signals, memory)
        pre = signals.pre if self.post_only else signed_power(signals.pre, self.power)
        return Outer(counts * signed_power(moved, self.power), pre), memory


class FluctuationPolynomial(AbstractFluctuation):
    """``sum_ki theta_ki d_l^i (y_{l-1}^k)^T`` for ``k, i = 0 ... degree``: a polynomial in activity and fluctuation.

    Args:
        theta: coefficients; row ``k``, column ``i``, as many of either. They are meta-learned.
        persistence: factor of the running mean in one step.
        after: first step of a sequence, from 0, that counts.

    Raises:
        ValueError: there are not as many rows as columns, or a number is out of range.

    Source: Maoutsa (2025), with the powers put to the factors as seems most likely.
    """

    name: ClassVar[str] = "polynomial"
    text: ClassVar[str] = "Σ θₖᵢ (zₗ − mₗ)ⁱ (yₗ₋₁ᵏ)ᵀ"
    latex: ClassVar[str] = r"\sum_{ki} \theta_{ki}\, (z_\ell - m_\ell)^i\, (y_{\ell-1}^k)^\top"
    theta: dict[str, Float[Array, ""]]
    persistence: float = eqx.field(static=True)
    after: int = eqx.field(static=True)

    def __init__(self, theta: Float[Array, "k l"], persistence: float = 0.05, after: int = 3):
        rows, columns = theta.shape
        if rows != columns:
            raise ValueError(
                f"a polynomial needs as many powers of one factor as of the other, not {rows} and {columns}"
            )
        self.theta = {f"{k}{i}": jnp.asarray(theta[k, i]) for k, i in product(range(rows), repeat=2)}
        self.persistence, self.after = persistence, after

    @property
    def degree(self) -> int:
        """The largest power of either factor."""
        return round(len(self.theta) ** 0.5) - 1

    def __call__(self, signals: Signals, memory: Mean) -> tuple[Sum, Mean]:
        moved, counts, memory = self.fluctuation(signals, memory)
        powers = range(self.degree + 1)
        post = [sum((self.theta[f"{k}{i}"] * moved**i for i in powers), start=jnp.zeros(())) for k in powers]
        return Sum(tuple(Outer(counts * post[k], signals.pre**k) for k in powers)), memory


class NodePerturbation(AbstractTerm):
    """``p_l y_{l-1}^T``: the perturbation itself, known exactly, times the activity before it.

    Source: Fiete & Seung (2006); Miconi (2017), as what the rule is compared with.
    """

    name = "perturbation"
    text, latex = "pₗ yₗ₋₁ᵀ", r"p_\ell\, y_{\ell-1}^\top"

    def __call__(self, signals: Signals) -> Outer:
        """The update.

        Raises:
            ValueError: the connection ends where nothing is perturbed.
        """
        if signals.perturbation is None:
            raise ValueError("node perturbation needs neurons with a perturbation, such as those of RateNetwork")
        return Outer(signals.perturbation, signals.pre)
