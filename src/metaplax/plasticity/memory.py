"""Terms with memory: a sliding threshold, traces of activity, eligibility that waits for a reward, synaptic scaling.

What a term holds as an array, such as a time constant, is meta-learned. Time constants are in steps, and are held as
``log(tau)``, so that they stay positive.
"""

from abc import abstractmethod
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from equinox import AbstractVar
from jaxtyping import Array, Float, PyTree

from metaplax.plasticity.signals import Signals
from metaplax.plasticity.terms import AbstractTerm
from metaplax.plasticity.updates import AbstractUpdate, Decay, Dense, Outer

Gate = Literal["none", "modulator", "post_signal"]


def logarithm(tau: float) -> Float[Array, ""]:
    """``log(tau)`` as an array, for a field of a term.

    Raises:
        ValueError: the time constant is not positive.
    """
    if not tau > 0:
        raise ValueError(f"a time constant must be positive, not {tau}")
    return jnp.log(jnp.asarray(tau, float))


class AbstractMemoryTerm(AbstractTerm):
    """A term that remembers: one number per neuron, or per synapse, or any other arrays.

    Memory starts anew with every sequence, as traces of activity do, unless ``lasting`` says what stays.
    """

    @abstractmethod
    def init(self, post: int, pre: int) -> PyTree:
        """Memory at the start, for so many post- and pre-synaptic neurons."""

    def lasting(self, memory: PyTree) -> PyTree:
        """The part of the memory that lasts beyond a sequence, for the whole episode; by default none.

        In a minibatch it becomes the mean of what every example makes of it.
        """
        return ()

    def resumed(self, start: PyTree, lasting: PyTree) -> PyTree:
        """Memory at the start of a further sequence, given that of the first one and what has lasted."""
        return start

    @abstractmethod
    def __call__(self, signals: Signals, memory: PyTree) -> tuple[AbstractUpdate, PyTree]:  # pyright: ignore
        """The change of the weights for a coefficient of one, and the memory after this step."""


class BCM(AbstractMemoryTerm):
    """``y_l (y_l - m_l) y_{l-1}^T`` with a threshold ``m_l`` that slides to the mean of ``y_l^2`` in ``tau`` steps.

    Source: Bienenstock, Cooper & Munro (1982).

    Args:
        tau: time constant of the threshold, in steps; meta-learned as its logarithm.

    Raises:
        ValueError: the time constant is not positive.
    """

    name = "bcm"
    text, latex = "yₗ (yₗ − mₗ) yₗ₋₁ᵀ", r"y_\ell (y_\ell - m_\ell)\, y_{\ell-1}^\top"
    log_tau: Float[Array, ""]

    def __init__(self, tau: float = 20.0):
        self.log_tau = logarithm(tau)

    def init(self, post: int, pre: int) -> Float[Array, " post"]:
        return jnp.ones(post)

    def lasting(self, memory: PyTree) -> PyTree:
        return memory

    def resumed(self, start: PyTree, lasting: PyTree) -> PyTree:
        return lasting

    def __call__(self, signals: Signals, memory: Float[Array, " post"]) -> tuple[Outer, Float[Array, " post"]]:
        update = Outer(signals.post * (signals.post - memory), signals.pre)
        return update, memory + jnp.exp(-self.log_tau) * (signals.post**2 - memory)


class AbstractOverTerm(AbstractMemoryTerm):
    """A term made of another term, whose sign and locality it has."""

    term: AbstractVar[AbstractTerm]

    @property
    def sign(self):  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.term.sign

    @property
    def locality(self):  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.term.locality


class Traced(AbstractOverTerm):
    """Another term that sees leaky sums of the activity before or behind the synapse: ``x <- x exp(-1/tau) + y``.

    A term of spikes becomes one half of pair STDP: ``Traced(Hebb(), pre=20.0)`` potentiates where a neuron spikes
    after its input did.

    Args:
        term: the other term.
        pre: time constant of the pre-synaptic trace in steps; ``None`` for the activity itself.
        post: the same of the post-synaptic one.

    Raises:
        ValueError: no time constant is given, or one is not positive.
    """

    term: AbstractTerm
    log_pre: Float[Array, ""] | None
    log_post: Float[Array, ""] | None

    def __init__(self, term: AbstractTerm, pre: float | None = None, post: float | None = None):
        if pre is None and post is None:
            raise ValueError("a traced term needs the time constant of a trace, pre or post")
        self.term = term
        self.log_pre, self.log_post = (None if tau is None else logarithm(tau) for tau in (pre, post))

    @property
    def name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        sides = "".join(side for side, tau in (("Pre", self.log_pre), ("Post", self.log_post)) if tau is not None)
        return f"{self.term.name}{sides}Trace"

    @property
    def text(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._marked(self.term.text, "yₗ₋₁", "yₗ", "x")

    @property
    def latex(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._marked(self.term.latex, r"y_{\ell-1}", r"y_\ell", "x")

    def _marked(self, written: str, pre: str, post: str, letter: str) -> str:
        for symbol, tau in ((pre, self.log_pre), (post, self.log_post)):
            written = written if tau is None else written.replace(symbol, letter + symbol[1:])
        return written

    def init(self, post: int, pre: int) -> PyTree:
        return jnp.zeros(pre), jnp.zeros(post), started(self.term, post, pre)

    def lasting(self, memory: PyTree) -> PyTree:
        return lasting(self.term, memory[2])

    def resumed(self, start: PyTree, lasting: PyTree) -> PyTree:
        return *start[:2], resumed(self.term, start[2], lasting)

    def __call__(self, signals: Signals, memory: PyTree) -> tuple[AbstractUpdate, PyTree]:
        before, behind, inner = memory
        if self.log_pre is not None:
            before = jnp.exp(-jnp.exp(-self.log_pre)) * before + signals.pre
            signals = eqx.tree_at(lambda s: s.pre, signals, before)
        if self.log_post is not None:
            behind = jnp.exp(-jnp.exp(-self.log_post)) * behind + signals.post
            signals = eqx.tree_at(lambda s: s.post, signals, behind)
        update, inner = called(self.term, signals, inner)
        return update, (before, behind, inner)


class AbstractSameMemoryTerm(AbstractOverTerm):
    """A term made of another term, which remembers what that does and nothing else."""

    def init(self, post: int, pre: int) -> PyTree:
        return started(self.term, post, pre)

    def lasting(self, memory: PyTree) -> PyTree:
        return lasting(self.term, memory)

    def resumed(self, start: PyTree, lasting: PyTree) -> PyTree:
        return resumed(self.term, start, lasting)


class Taught(AbstractSameMemoryTerm):
    """Another term that sees the activity which feedback wants of the post-synaptic neurons, in place of their own.

    Args:
        term: the other term.
    """

    term: AbstractTerm

    @property
    def name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return f"{self.term.name}Taught"

    @property
    def text(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.term.text.replace("yₗ ", "ỹₗ ").replace("yₗ²", "ỹₗ²")

    @property
    def latex(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.term.latex.replace(r"y_\ell", r"\tilde{y}_\ell")

    def __call__(self, signals: Signals, memory: PyTree) -> tuple[AbstractUpdate, PyTree]:
        return called(self.term, eqx.tree_at(lambda s: s.post, signals, signals.taught), memory)


class Eligibility(AbstractOverTerm):
    """A trace of another term's updates, which changes the weights when a gate opens: ``g E``.

    ``E <- E exp(-1/tau) + F``, one number per synapse; the gate ``g`` is a third factor. Within a sequence after which
    weights change at once, no matrix is kept: the decaying gate is carried back to the updates that wait for it.

    Args:
        term: the other term, ``F``.
        tau: time constant of the trace in steps; meta-learned as its logarithm.
        gate: ``"modulator"``, the first modulator, such as a reward, which comes at the end of a sequence after which
            weights change; ``"post_signal"``, the learning signal of the post-synaptic neuron; or ``"none"``.

    Raises:
        ValueError: the time constant is not positive.
    """

    term: AbstractTerm
    log_tau: Float[Array, ""]
    gate: Gate = eqx.field(static=True)

    def __init__(self, term: AbstractTerm, tau: float = 20.0, gate: Gate = "modulator"):
        self.term, self.log_tau, self.gate = term, logarithm(tau), gate

    @property
    def name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return f"{self.term.name}Eligibility"

    @property
    def text(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return {"none": "", "modulator": "m ", "post_signal": "sₗ "}[self.gate] + f"E[{self.term.text}]"

    @property
    def latex(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        gate = {"none": "", "modulator": r"m\,", "post_signal": r"s_\ell\,"}[self.gate]
        return gate + rf"E[{self.term.latex}]"

    @property
    def decay(self) -> Float[Array, ""]:
        """Factor of the trace in one step."""
        return jnp.exp(-jnp.exp(-self.log_tau))

    def init(self, post: int, pre: int) -> PyTree:
        return jnp.zeros((post, pre)), started(self.term, post, pre)

    def lasting(self, memory: PyTree) -> PyTree:
        return lasting(self.term, memory[1])

    def resumed(self, start: PyTree, lasting: PyTree) -> PyTree:
        return start[0], resumed(self.term, start[1], lasting)

    def __call__(self, signals: Signals, memory: PyTree) -> tuple[AbstractUpdate, PyTree]:
        trace, inner = memory
        update, inner = called(self.term, signals, inner)
        trace = self.decay * trace + update.dense(signals.weight)
        gate = self.opened(signals)
        return Dense(trace if gate is None else Dense(trace).scaled(gate).matrix), (trace, inner)

    def opened(self, signals: Signals) -> Float[Array, "..."] | None:
        """The gate: one number, one per post-synaptic neuron, or ``None`` where there is none.

        Raises:
            ValueError: the gate is a modulator, and there is none.
        """
        if self.gate == "none":
            return None
        if self.gate == "post_signal":
            return signals.post_signal
        if signals.modulator is None:
            raise ValueError("eligibility is gated by a modulator, but the learner has none: give it a modulator")
        return signals.modulator[..., 0]

    def waiting(self, signals: Signals, steps: int) -> Float[Array, "time ..."]:
        """For every step of a sequence, the sum of later gates as far as the trace has not decayed by then.

        Args:
            signals: of a sequence, with an axis of time in front, except the weights.
            steps: length of the sequence.
        """
        gate = self.opened(signals)
        gate = jnp.ones(steps) if gate is None else gate
        decay = lambda later, now: ((found := now + self.decay * later), found)  # noqa: E731
        return jax.lax.scan(decay, jnp.zeros_like(gate[0]), gate, reverse=True)[1]


class SynapticScaling(AbstractMemoryTerm):
    """``(target - a_l) W``: all synapses of a neuron grow or shrink until its mean activity ``a_l`` is the target.

    The mean is a leaky one, over ``tau`` steps. Source: Turrigiano et al. (1998); van Rossum, Bi & Turrigiano (2000).

    Args:
        target: mean activity of every neuron; meta-learned.
        tau: time constant of the mean in steps; meta-learned as its logarithm.

    Raises:
        ValueError: the time constant is not positive.
    """

    name = "scaling"
    text, latex = "(a − āₗ) Wₗ", r"(a - \bar{a}_\ell)\, W_\ell"
    target: Float[Array, ""]
    log_tau: Float[Array, ""]

    def __init__(self, target: float = 0.5, tau: float = 100.0):
        self.target, self.log_tau = jnp.asarray(target, float), logarithm(tau)

    def init(self, post: int, pre: int) -> Float[Array, " post"]:
        return jnp.full(post, self.target)

    def lasting(self, memory: PyTree) -> PyTree:
        return memory

    def resumed(self, start: PyTree, lasting: PyTree) -> PyTree:
        return lasting

    def __call__(self, signals: Signals, memory: Float[Array, " post"]) -> tuple[Decay, Float[Array, " post"]]:
        memory = memory + jnp.exp(-self.log_tau) * (signals.post - memory)
        return Decay(memory - self.target), memory


def called(term: AbstractTerm, signals: Signals, memory: PyTree) -> tuple[AbstractUpdate, PyTree]:
    """The update of any term and its memory after it; a term without memory has ``()``."""
    return term(signals, memory) if isinstance(term, AbstractMemoryTerm) else (term(signals), memory)


def started(term: AbstractTerm, post: int, pre: int) -> PyTree:
    """Memory of any term at the start."""
    return term.init(post, pre) if isinstance(term, AbstractMemoryTerm) else ()


def lasting(term: AbstractTerm, memory: PyTree) -> PyTree:
    """The part of the memory of any term that lasts beyond a sequence."""
    return term.lasting(memory) if isinstance(term, AbstractMemoryTerm) else ()


def resumed(term: AbstractTerm, start: PyTree, lasting: PyTree) -> PyTree:
    """Memory of any term at the start of a further sequence."""
    return term.resumed(start, lasting) if isinstance(term, AbstractMemoryTerm) else ()
