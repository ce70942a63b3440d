"""Terms, with memory or without, equal a loop over synapses, see what they declare, and add up over a sequence."""

from math import exp

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from every_plastic import KEY
from metaplax.plasticity import (
    BCM,
    STDP,
    AbstractTerm,
    AdaptiveSensitivity,
    CentredGradient,
    Eligibility,
    Hebb,
    MLPTerm,
    Monomial,
    NeuronOja,
    NormalisedGradient,
    Oja,
    Positions,
    PseudoGradient,
    Sensitivity,
    Signals,
    SynapticScaling,
    Taught,
    Traced,
    WeightDecay,
)
from metaplax.plasticity.applied import first_memory, in_one_step, over_sequence

POST, PRE, STEPS = 3, 4, 3


def signals(shape=(POST, PRE), axes=(STEPS,), weights=None, seed=0) -> Signals:
    """Random signals of a sequence; all but weights have these axes in front, modulators that of time alone."""
    g = np.random.default_rng(seed)
    draw = lambda *shape: jnp.asarray(g.normal(size=shape))  # noqa: E731
    post, pre = ((*axes, n) for n in shape)
    return Signals(
        pre=draw(*pre),
        post=draw(*post),
        pre_error=draw(*pre),
        post_error=draw(*post),
        preactivation=draw(*post),
        weight=draw(*(shape if weights is None else weights)),
        post_slope=draw(*post),
        post_signal=draw(*post),
        modulator=draw(*axes[:1], 2),
    )


def changes(term: AbstractTerm, seen: Signals) -> jax.Array:
    """The change of the weights at every step of a sequence, each with the same weights."""
    memory, found = first_memory(term, seen.weight.shape, None), []
    for t in range(STEPS):
        update, memory = in_one_step(term, at(seen, t), memory)
        found.append(update.dense(seen.weight))
    return jnp.stack(found)


def at(seen: Signals, t: int) -> Signals:
    """The signals of one step of time."""
    moving = {name: value for name, value in vars(seen).items() if value is not None and name not in SAME}
    return Signals(**{name: value[t] for name, value in moving.items()}, weight=seen.weight)


SAME = ("weight", "key")


class Synapse:
    """What the synapse from neuron ``i`` to neuron ``j`` sees at every step, as plain numbers, and further sums."""

    def __init__(self, seen: Signals, j: int, i: int):
        rows = {name: np.asarray(value).tolist() for name, value in vars(seen).items() if value is not None}
        self.x, self.d = ([row[i] for row in rows[name]] for name in ("pre", "pre_error"))
        names = ("post", "post_error", "preactivation", "post_slope", "post_signal")
        self.y, self.e, self.z, self.slope, self.signal = ([row[j] for row in rows[name]] for name in names)
        self.w, self.m = rows["weight"][j][i], [row[0] for row in rows["modulator"]]
        self.all_x = rows["pre"]

    def trace(self, values: list[float], tau: float) -> list[float]:
        """``x <- x exp(-1/tau) + y`` after every step."""
        found, x = [], 0.0
        for y in values:
            x = x * exp(-1 / tau) + y
            found.append(x)
        return found

    def sliding(self, values: list[float], start: float, tau: float) -> list[float]:
        """A mean that slides to the values in ``tau`` steps, after every step."""
        found, mean = [], start
        for y in values:
            mean = mean + (y - mean) / tau
            found.append(mean)
        return found


def hebb(s: Synapse) -> list[float]:
    return [y * x for y, x in zip(s.y, s.x, strict=True)]


def bcm(s: Synapse) -> list[float]:
    thresholds = [1.0, *s.sliding([y**2 for y in s.y], 1.0, 5.0)]
    return [y * (y - m) * x for y, m, x in zip(s.y, thresholds, s.x, strict=False)]


def taught_bcm(s: Synapse) -> list[float]:
    s.y = [y - signal for y, signal in zip(s.y, s.signal, strict=True)]
    return bcm(s)


def stdp(s: Synapse) -> list[float]:
    pairs = zip(s.y, s.trace(s.x, 3.0), s.trace(s.y, 2.0), s.x, strict=True)
    return [y * before - 1.2 * behind * x for y, before, behind, x in pairs]


def adaptive(s: Synapse) -> list[float]:
    found, a = [], 0.0
    for slope, x in zip(s.slope, s.x, strict=True):
        found.append(-slope * (x - 0.4 * a))
        a = 0.9 * a - found[-1]
    return found


def mlp_term() -> MLPTerm:
    return MLPTerm(("pre", "post", "post_signal", "weight", "modulator"), 3, key=KEY)


def small_network(s: Synapse) -> list[float]:
    hidden, bias, output = (np.asarray(leaf) for leaf in (mlp_term().hidden, mlp_term().bias, mlp_term().output))
    columns = zip(s.x, s.y, s.signal, s.m, strict=True)
    return [float(output @ np.tanh(hidden @ [x, y, signal, s.w, m] + bias)) for x, y, signal, m in columns]


FORMULAS = {
    "centred": (
        CentredGradient,
        lambda s: [-e * (x - sum(xs) / PRE) for e, x, xs in zip(s.e, s.x, s.all_x, strict=True)],
    ),
    "normalised": (
        NormalisedGradient,
        lambda s: [-e * x / (1e-3 + sum(v * v for v in xs) / PRE) for e, x, xs in zip(s.e, s.x, s.all_x, strict=True)],
    ),
    "Hebb": (Hebb, hebb),
    "Oja per neuron": (NeuronOja, lambda s: [y * x - y**2 * s.w for y, x in zip(s.y, s.x, strict=True)]),
    "Hebb, taught": (
        lambda: Taught(Hebb()),
        lambda s: [(y - signal) * x for y, signal, x in zip(s.y, s.signal, s.x, strict=True)],
    ),
    "BCM, taught": (lambda: Taught(BCM(5.0)), taught_bcm),
    "sensitivity": (Sensitivity, lambda s: [-slope * x for slope, x in zip(s.slope, s.x, strict=True)]),
    "BCM": (lambda: BCM(5.0), bcm),
    "trace before": (
        lambda: Traced(Hebb(), pre=3.0),
        lambda s: [y * x for y, x in zip(s.y, s.trace(s.x, 3.0), strict=True)],
    ),
    "traces": (
        lambda: Traced(Hebb(), pre=3.0, post=2.0),
        lambda s: [y * x for y, x in zip(s.trace(s.y, 2.0), s.trace(s.x, 3.0), strict=True)],
    ),
    "eligibility": (lambda: Eligibility(Hebb(), 3.0, "none"), lambda s: s.trace(hebb(s), 3.0)),
    "eligibility × modulator": (
        lambda: Eligibility(Hebb(), 3.0),
        lambda s: [m * e for m, e in zip(s.m, s.trace(hebb(s), 3.0), strict=True)],
    ),
    "eligibility × signal": (
        lambda: Eligibility(BCM(5.0), 3.0, "post_signal"),
        lambda s: [signal * e for signal, e in zip(s.signal, s.trace(bcm(s), 3.0), strict=True)],
    ),
    "STDP": (lambda: STDP(3.0, 2.0, 1.2), stdp),
    "adaptive sensitivity": (lambda: AdaptiveSensitivity(0.4, 0.9), adaptive),
    "synaptic scaling": (
        lambda: SynapticScaling(0.4, 5.0),
        lambda s: [(0.4 - mean) * s.w for mean in s.sliding(s.y, 0.4, 5.0)],
    ),
    "monomial": (
        lambda: Monomial(("pre", "post", "pre_error", "preactivation", "weight", "modulator"), (1, 2, 1, 1, 2, 1)),
        lambda s: [x * y**2 * d * z * s.w**2 * m for x, y, d, z, m in zip(s.x, s.y, s.d, s.z, s.m, strict=True)],
    ),
    "MLP": (mlp_term, small_network),
}
"""Terms, and the change of one synapse at every step, written from the formula in their docstrings.

The ten of the paper are compared in ``test_terms.py``.
"""


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", FORMULAS)
def test_terms_equal_a_loop_over_synapses(name):
    make, formula = FORMULAS[name]
    seen = signals()
    expected = np.array([[formula(Synapse(seen, j, i)) for i in range(PRE)] for j in range(POST)])
    np.testing.assert_allclose(changes(make(), seen), np.moveaxis(expected, -1, 0), rtol=1e-12, atol=1e-14)


LOCAL = {name: make for name, (make, _) in FORMULAS.items()} | {
    "eligibility of Oja": lambda: Eligibility(Oja(), 3.0, "post_signal"),
    "trace of Oja": lambda: Traced(Oja(), pre=3.0),
    "eligibility of a trace": lambda: Eligibility(Traced(PseudoGradient(), pre=3.0), 3.0),
}
OF_POST = ("post", "post_error", "preactivation", "post_slope", "post_signal")
OF_PRE = ("pre", "pre_error")


@pytest.mark.parametrize("name", LOCAL)
def test_the_declared_locality_holds_by_jacobians(name):
    term, seen = LOCAL[name](), signals()
    given = {name: getattr(seen, name) for name in (*OF_POST, *OF_PRE, "weight")}
    change = lambda given: changes(term, Signals(**given, modulator=seen.modulator))  # noqa: E731
    found = jax.jacobian(change)(given)
    j, i = np.indices((POST, PRE))
    elsewhere = {name: j[:, :, None] != np.arange(POST) for name in OF_POST}
    elsewhere |= {name: i[:, :, None] != np.arange(PRE) for name in OF_PRE}
    elsewhere["weight"] = (j[:, :, None, None] != j) | (i[:, :, None, None] != i)
    # Changes and signals have an axis of steps, which comes first here.
    moved = {name: jnp.moveaxis(found[name], 3, 1) if name != "weight" else found[name] for name in found}
    leaks = [bool(np.any(np.asarray(moved[name])[..., elsewhere[name]])) for name in moved]
    assert any(leaks) == (term.locality == "layer")


POSITIONS = {"everywhere": None, "local": Positions(2, False), "convolutional": Positions(2, True)}
TRACED = {
    "decay": WeightDecay,
    "trace": lambda: Traced(Oja(), pre=3.0),
    "adaptive": lambda: AdaptiveSensitivity(0.4, 0.9),
    "powers": lambda: Monomial(("pre", "post", "weight"), (1, 1, 2)),
    "eligibility": lambda: Eligibility(Hebb(), 2.0),
    "two parts": lambda: Taught(NeuronOja()),
}


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("gate", ["none", "modulator", "post_signal"])
@pytest.mark.parametrize("where", POSITIONS)
def test_eligibility_over_a_sequence_is_the_sum_of_its_steps(where, gate):
    positions = POSITIONS[where]
    axes = (STEPS,) if positions is None else (STEPS, positions.count)
    rows = 2 * POST if where == "local" else POST
    seen = signals(axes=axes, weights=(rows, PRE))
    for make in TRACED.values():
        term = Eligibility(make(), 3.0, gate)
        memory = start = first_memory(term, seen.weight.shape, positions)
        expected = jnp.zeros_like(seen.weight)
        for t in range(STEPS):
            update, memory = in_one_step(term, at(seen, t), memory, positions)
            expected += update.dense(seen.weight)
        found, _ = over_sequence(term, seen, start, positions)
        np.testing.assert_allclose(found.dense(seen.weight), expected, rtol=1e-12, atol=1e-13)
