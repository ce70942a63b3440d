"""A plasticity rule: a sum of terms with meta-learned coefficients."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from metaplax.plasticity.applied import Positions, first_memory, in_one_step, over_sequence
from metaplax.plasticity.coefficients import AbstractCoefficients, GlobalCoefficients, LayerCoefficients
from metaplax.plasticity.equation import PrintedTerm, as_latex, as_text
from metaplax.plasticity.general_terms import Monomial
from metaplax.plasticity.memory import lasting, resumed
from metaplax.plasticity.rule_files import write
from metaplax.plasticity.signals import Signals
from metaplax.plasticity.step_limit import StepLimit
from metaplax.plasticity.terms import AbstractTerm
from metaplax.plasticity.torch_rule import TorchRule
from metaplax.plasticity.updates import AbstractUpdate, Changes, Coefficient, parts

Memory = tuple[PyTree, ...]
"""Of one connection: the memory of every term, ``()`` for terms without memory."""


class Rule(eqx.Module):
    """``Delta W_l = sum_r theta_r F_r``: a sum of plasticity terms.

    Args:
        terms: the terms. Arrays that they hold are meta-learned, too.
        coefficients: their meta-learned coefficients.
        active: for each layer, which terms act in it, e.g. to use different rules in different layers (Table 1 of
            Shervani-Tabar & Rosenbaum, 2023); by default all. The coefficient of a term that acts in no layer has a
            gradient of exactly zero.
        held: names of terms whose coefficients are constants, set by ``hold``.
        constants: their coefficients, where ``coefficients`` has zeros.
        gains: factors of all updates of each layer, which are not meta-learned; by default one.
        limit: how far one step may go, if there is a limit.

    Raises:
        ValueError: two terms have the same name, or a row of ``active`` has the wrong length.
    """

    terms: tuple[AbstractTerm, ...]
    coefficients: AbstractCoefficients
    active: tuple[tuple[bool, ...], ...] | None = eqx.field(static=True, default=None)
    held: tuple[str, ...] = eqx.field(static=True, default=())
    constants: AbstractCoefficients | None = None
    gains: tuple[float, ...] | None = eqx.field(static=True, default=None)
    limit: StepLimit | None = None

    def __check_init__(self):
        names = [term.name for term in self.terms]
        if len(set(names)) < len(names):
            raise ValueError(f"every term of a rule needs a name of its own, but the names are {names}")
        if self.active is not None and any(len(row) != len(names) for row in self.active):
            raise ValueError(f"each layer of `active` needs one entry for each of the {len(names)} terms")

    def hold(self, *names: str) -> "Rule":
        """The same rule, in which the coefficients of these terms are no longer meta-learned.

        Raises:
            ValueError: there is no term of such a name.
        """
        known = [term.name for term in self.terms]
        if unknown := [name for name in names if name not in known]:
            raise ValueError(f"the rule has no term {unknown[0]!r}: its terms are {', '.join(known)}")
        held = dict.fromkeys((*self.held, *names))
        values = self._effective()
        # Where a coefficient is held, a zero takes its place: no penalty or decay of the outer loop ever moves that.
        learned = _per_term(values, [0.0 if name in held else None for name in known])
        return Rule(self.terms, learned, self.active, tuple(held), values, self.gains, self.limit)

    def coefficient(self, layer: int, term: int) -> Coefficient:
        """Coefficient of term ``0..R-1`` in connection ``1..L``."""
        is_held = self.terms[term].name in self.held
        return (self.constants if is_held else self.coefficients).at(layer, term)  # pyright: ignore

    def acts(self, layer: int, term: int) -> bool:
        """Whether a term acts in connection ``1..L``."""
        return self.active is None or self.active[layer - 1][term]

    def memory(self, shape: tuple[int, int], positions: Positions | None = None) -> Memory:
        """Memory of the terms of one connection, at the start of an episode.

        Args:
            shape: of its weights.
            positions: of an image that it has synapses at; ``None`` if everything is seen at once.
        """
        return tuple(first_memory(term, shape, positions) for term in self.terms)

    def lasting(self, memory: Memory) -> Memory:
        """The part of the memory that lasts beyond a sequence."""
        return tuple(map(lasting, self.terms, memory))

    def resumed(self, start: Memory, kept: Memory) -> Memory:
        """Memory at the start of a further sequence."""
        return tuple(map(resumed, self.terms, start, kept))

    def updates(
        self,
        layer: int,
        signals: Signals,
        memory: Memory | None = None,
        positions: Positions | None = None,
        *,
        is_sequence: bool = False,
    ) -> tuple[tuple[AbstractUpdate, ...], Memory]:
        """The updates of all active terms, times their coefficients, and the memory after them; see ``asked``."""
        asked, memory = self.asked(layer, signals, memory, positions, is_sequence=is_sequence)
        return self.weighted(layer, asked), memory

    def asked(
        self,
        layer: int,
        signals: Signals,
        memory: Memory | None = None,
        positions: Positions | None = None,
        *,
        is_sequence: bool = False,
    ) -> tuple[Changes, Memory]:
        """One update for every active term, for a coefficient of one, and the memory of all terms after them.

        Args:
            layer: number of the connection, from 1.
            signals: of that connection; for a sequence with an axis of time in front.
            memory: as ``memory`` or the last step left it; by default that at the start.
            positions: of an image that the connection has synapses at.
            is_sequence: whether the updates of all steps of a sequence are added up.
        """
        post, pre = signals.weight.shape
        memory = self.memory((post, pre), positions) if memory is None else memory
        apply = over_sequence if is_sequence else in_one_step
        updates, after = [], list(memory)
        for k in self._acting(layer):
            update, after[k] = apply(self.terms[k], signals, memory[k], positions)
            updates.append(update)
        return tuple(updates), tuple(after)

    def weighted(self, layer: int, asked: Changes, largest: Sequence[Array] | None = None) -> Changes:
        """The change of a layer: what its terms ask for, times their coefficients, and no more than the limit allows.

        Args:
            layer: number of the connection, from 1.
            asked: as ``asked`` gives it; or the totals of it over a minibatch.
            largest: as ``largest`` gives it; needed only if there is a limit.
        """
        # The coefficient goes first, as it is, so that an estimator recognises it and need not keep it at every step.
        changes = [
            update.scaled(self.coefficient(layer, k)) for k, update in zip(self._acting(layer), asked, strict=True)
        ]
        gain = 1.0 if self.gains is None else self.gains[layer - 1]
        factor = None if gain == 1.0 else jnp.asarray(gain)
        if self.limit is not None:
            factor = self.limit.factor(asked, self.largest(layer) if largest is None else largest, gain)
        changes = changes if factor is None else [change.scaled(factor) for change in changes]
        found = tuple(part for change in changes for part in parts(change))
        return found if self.limit is None else self.limit.cut(found)

    def largest(self, layer: int) -> tuple[Array, ...]:
        """For every active term the largest size of its coefficients in a layer, one number or one per neuron."""
        sizes = [jnp.abs(self.coefficient(layer, k)) for k in self._acting(layer)]
        return tuple(size if size.ndim < 2 else jnp.max(size, axis=1) for size in sizes)

    def _acting(self, layer: int) -> list[int]:
        """Numbers of the terms that act in a layer."""
        return [k for k in range(len(self.terms)) if self.acts(layer, k)]

    def scalars(self) -> dict[str, Float[Array, ""]]:
        """The coefficient of every term as ``theta<name>``, with a suffix per layer unless all layers share it.

        Arrays that a term holds follow as ``<name>.<field>``, those of more than one number by their mean.
        """
        values = self._effective()
        found = {
            f"theta{term.name}{suffix}": value
            for k, term in enumerate(self.terms)
            for suffix, value in values.scalars(k).items()
        }
        for term in self.terms:
            held = [(path, leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(term) if eqx.is_array(leaf)]
            found |= {f"{term.name}{jax.tree_util.keystr(path)}": jnp.mean(leaf) for path, leaf in held}
        return found

    def save(self, path: str | Path) -> None:
        """Write the rule into a JSON file, from which ``metaplax.rules.load(path)`` reads it back to the bit.

        Of terms of one's own the file holds the name and the fields; ``load`` has to be given their classes, or the
        terms themselves if they are made of functions.

        Raises:
            ValueError: the rule has a leading axis of trials, or a field of a term holds what no file can hold.
            OSError: the file cannot be written.
        """
        write(path, self)

    def to_torch(self, model: Any, feedback: str = "random") -> TorchRule:
        """The rule as what changes the weights of a PyTorch model: ``step(x, y)``, in the place of an optimiser.

        Every step makes the change that ``PlasticLearner`` makes, in PyTorch and on the device of the model. All terms
        of the library are supported, with memory or without, and terms of one's own that draw no random numbers and
        need no modulator.

        Args:
            model: a ``torch.nn.Sequential`` of ``Linear``, ``Conv2d``, ``ReLU``, ``Tanh``, ``Softplus``, ``Sigmoid``
                and ``Flatten`` that ends with a ``Linear``. Its weights are changed in place, biases included.
            feedback: the pathway: ``"symmetric"``, ``"random"``, with fixed weights from layer to layer, or
                ``"direct"``, with fixed weights from the output to every layer. Fixed weights are drawn by PyTorch.

        Raises:
            ImportError: PyTorch is not installed.
            ValueError: the model has something else in it, the rule does not fit it, or the pathway is unknown.
        """
        return TorchRule(self, model, feedback)

    def __str__(self) -> str:
        """The rule as an equation, or one per layer; a polynomial with its largest coefficients first."""
        return "\n".join(as_text(*row) for row in self._rows())

    def latex(self) -> str:
        """The same in LaTeX."""
        return r" \\ ".join(as_latex(*row) for row in self._rows())

    def _repr_latex_(self) -> str:
        """What a notebook shows: the equations, one below the other."""
        rows = [as_latex(*row) for row in self._rows()]
        if len(rows) == 1:
            return rf"$\displaystyle {rows[0]}$"
        lines = r" \\ ".join(row.replace(" = ", " &= ", 1) for row in rows)
        return rf"$\displaystyle \begin{{aligned}} {lines} \end{{aligned}}$"

    def printed(self) -> tuple[PrintedTerm, ...]:
        """The notation of the terms, without their coefficients."""
        return tuple(PrintedTerm(term.name, term.text, term.latex, term.sign) for term in self.terms)

    def _rows(self) -> list[tuple[Sequence[PrintedTerm], Sequence[float] | None, int | None]]:
        """For every equation its terms, coefficients, if they can be printed, and layer, if there is one per layer."""
        found = self._effective()
        if isinstance(found, GlobalCoefficients):
            return [(*self._by_size(found.values.tolist()), None)]
        if isinstance(found, LayerCoefficients):
            return [(*self._by_size(row.tolist()), layer) for layer, row in enumerate(found.values, start=1)]
        return [(self.printed(), None, None)]

    def _by_size(self, values: list[float]) -> tuple[list[PrintedTerm], list[float]]:
        """Terms and coefficients in the order in which they are printed."""
        pairs = list(zip(self.printed(), values, strict=True))
        # The many terms of a polynomial have no order of their own; the terms of other rules have that of the paper.
        if all(isinstance(term, Monomial) for term in self.terms):
            pairs.sort(key=lambda pair: -abs(pair[1]))
        return [term for term, _ in pairs], [value for _, value in pairs]

    def _effective(self) -> AbstractCoefficients:
        """All coefficients, held or not."""
        if self.constants is None:
            return self.coefficients
        is_held = [1.0 if term.name in self.held else 0.0 for term in self.terms]
        mask = self.coefficients.filled(is_held)
        return jax.tree.map(lambda m, c, v: jnp.where(m > 0, c, v), mask, self.constants, self.coefficients)


def _per_term(coefficients: AbstractCoefficients, values: list[float | None]) -> AbstractCoefficients:
    """The same, with the given value in the place of all coefficients of a term, where there is one."""
    keeps = coefficients.filled([1.0 if value is None else 0.0 for value in values])
    given = coefficients.filled([value or 0.0 for value in values])
    return jax.tree.map(lambda k, new, old: jnp.where(k > 0, old, new), keeps, given, coefficients)
