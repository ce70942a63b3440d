"""Terms that leave the form of the rule open: all products of powers of what a synapse sees, and a small network."""

from collections.abc import Sequence
from itertools import product
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from metaplax.plasticity.signals import Signals
from metaplax.plasticity.terms import AbstractTerm
from metaplax.plasticity.updates import AbstractUpdate, Dense, Outer, Weighted

Seen = Literal["pre", "post", "pre_error", "post_error", "preactivation", "post_signal", "weight", "modulator"]
"""What a synapse can see, by the names of ``Signals``; of the modulators the first."""

PRE: tuple[Seen, ...] = ("pre", "pre_error")
SYMBOLS = {
    "pre": ("yₗ₋₁", r"y_{\ell-1}"),
    "post": ("yₗ", r"y_\ell"),
    "pre_error": ("eₗ₋₁", r"e_{\ell-1}"),
    "post_error": ("eₗ", r"e_\ell"),
    "preactivation": ("zₗ", r"z_\ell"),
    "post_signal": ("sₗ", r"s_\ell"),
    "weight": ("Wₗ", r"W_\ell"),
    "modulator": ("m", "m"),
}
SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


class Monomial(AbstractTerm):
    """A product of powers of what a synapse sees, such as ``pre^1 post^2 weight^0``.

    Args:
        of: what it sees.
        powers: the power of each.

    Source: Confavreux et al. (2020); Mehta et al. (2024).
    """

    of: tuple[Seen, ...] = eqx.field(static=True)
    powers: tuple[int, ...] = eqx.field(static=True)

    @property
    def name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return "p" + "".join(map(str, self.powers))

    @property
    def text(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        raised = lambda power: "" if power == 1 else str(power).translate(SUPERSCRIPTS)  # noqa: E731
        return self._written([f"{SYMBOLS[name][0]}{raised(power)}" for name, power in self._present()], " ")

    @property
    def latex(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        raised = lambda power: "" if power == 1 else f"^{{{power}}}"  # noqa: E731
        return self._written([f"{SYMBOLS[name][1]}{raised(power)}" for name, power in self._present()], r"\, ")

    def _written(self, factors: list[str], joint: str) -> str:
        return joint.join(factors) or "1"

    def _present(self) -> list[tuple[Seen, int]]:
        return [(name, power) for name, power in zip(self.of, self.powers, strict=True) if power]

    def __call__(self, signals: Signals) -> AbstractUpdate:
        pre, post, weight = jnp.ones_like(signals.pre), jnp.ones_like(signals.post), 0
        for name, power in self._present():
            if name == "weight":
                weight = power
            elif name in PRE:
                pre = pre * getattr(signals, name) ** power
            else:
                post = post * seen(signals, name) ** power
        product_of_both = Outer(post, pre)
        return Weighted(weight, product_of_both) if weight else product_of_both


def monomials(degree: int, of: Sequence[Seen] = ("pre", "post", "weight")) -> tuple[Monomial, ...]:
    """All products of powers up to ``degree`` of each: ``(degree + 1) ** len(of)`` terms, the constant one first.

    Raises:
        ValueError: the degree is below one, or a name is unknown or given twice.
    """
    if degree < 1:
        raise ValueError(f"the degree of a polynomial rule is at least one, not {degree}")
    if len(set(of)) < len(of) or not set(of) <= set(SYMBOLS):
        raise ValueError(f"a polynomial is of different signals among {', '.join(SYMBOLS)}, not of {tuple(of)}")
    return tuple(Monomial(tuple(of), powers) for powers in product(range(degree + 1), repeat=len(of)))


class MLPTerm(AbstractTerm):
    """A small network that computes the change of every synapse from what that sees; its weights are meta-learned.

    ``F_jk = v^T tanh(U [signals of j, signals of k, W_jk] + b)``, the same network for all synapses. The output weights
    ``v`` start at a tenth of the others, so that a rule starts small.

    Args:
        of: what it sees.
        width: hidden units.
        key: randomness of the initial weights.

    Raises:
        ValueError: the width is below one, or a name is unknown or given twice.

    Source: Mehta et al. (2024), section 2.
    """

    name, text, latex = "mlp", "MLP(…)ₗ", r"\mathrm{MLP}_\ell"
    of: tuple[Seen, ...] = eqx.field(static=True)
    hidden: Float[Array, "width signals"]
    bias: Float[Array, " width"]
    output: Float[Array, " width"]

    def __init__(
        self,
        of: Sequence[Seen] = ("pre", "post", "post_error", "weight"),
        width: int = 8,
        *,
        key: Key[Array, ""] | None = None,
    ):
        if width < 1:
            raise ValueError(f"the rule's network needs at least one hidden unit, not {width}")
        if len(set(of)) < len(of) or not set(of) <= set(SYMBOLS):
            raise ValueError(f"the rule's network sees different signals among {', '.join(SYMBOLS)}, not {tuple(of)}")
        hidden_key, output_key = jax.random.split(jax.random.key(0) if key is None else key)
        self.of = tuple(of)
        self.hidden = jax.random.normal(hidden_key, (width, len(of))) / len(of) ** 0.5
        self.bias = jnp.zeros(width)
        self.output = 0.1 * jax.random.normal(output_key, (width,)) / width**0.5

    def __call__(self, signals: Signals) -> Dense:
        shape = signals.weight.shape
        total = jnp.broadcast_to(self.bias[:, None, None], (len(self.bias), *shape))
        for name, column in zip(self.of, self.hidden.T, strict=True):
            if name == "weight":
                value = signals.weight
            elif name in PRE:
                value = getattr(signals, name)[None]
            else:
                value = jnp.broadcast_to(seen(signals, name), shape[:1])[:, None]
            total = total + column[:, None, None] * value[None]
        return Dense(jnp.einsum("h,hij->ij", self.output, jnp.tanh(total)))


def seen(signals: Signals, name: Seen) -> Array:
    """A signal by name: per post-synaptic neuron, or the first modulator.

    Raises:
        ValueError: it is not there.
    """
    value = getattr(signals, name)
    if value is None:
        raise ValueError(f"the rule sees {name!r}, but the learner has none: give it a modulator, or another network")
    return value[0] if name == "modulator" else value
