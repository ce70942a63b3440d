"""Whether inputs, targets and a rule fit a network: asked once, for all learners, before anything compiles."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from metaplax.learners.base import IncompatibleError
from metaplax.networks import AbstractReadout
from metaplax.plasticity import Rule
from metaplax.tasks import Examples

AXES = {1: ("examples",), 2: ("steps", "batch")}
"""What the leading axes of inputs and targets count, by how many there are."""


def check_examples(
    name: str,
    part: object,
    *,
    readout: AbstractReadout,
    outputs: int,
    inputs: tuple[int, ...] | None = None,
    leading: int = 1,
    has_time: bool = False,
    classes: int | None = None,
    signals: int = 0,
) -> None:
    """Refuse one part of an episode that does not fit.

    Args:
        name: ``"support"`` or ``"query"``.
        part: shapes and dtypes of it.
        readout: says which targets it takes, and is tried on them.
        outputs: of the network.
        inputs: shape of one input; ``None`` if the network is asked itself.
        leading: how many axes come before that of one input: 1 for examples, 2 for steps and minibatch.
        has_time: whether one input is a sequence, with a target for all of its steps or one for each.
        classes: how many classes the task has, if it has any.
        signals: how many leading axes of inputs count what may have a factor or signals of its own; 0 to take none.

    Raises:
        IncompatibleError: one sentence saying what does not fit.
    """
    if not isinstance(part, Examples):
        raise IncompatibleError(f"the {name} set must be Examples of inputs and targets, not {type(part).__name__}")
    axes, found = (*AXES[leading], *(["time"] if has_time else [])), part.x.shape
    if inputs is not None and (len(found) != len(axes) + len(inputs) or found[len(axes) :] != inputs):
        expected = ", ".join([*axes, *map(str, inputs)])
        raise IncompatibleError(f"the network takes a {name} set of shape ({expected}), but the task gives {found}")
    check_signals(name, part, signals)
    per_step = has_time and part.y.ndim > leading + len(readout.target_shape(outputs))
    check_targets(name, part.y, readout, outputs, found[: len(axes) if per_step else leading])
    if classes is not None and classes > outputs:
        raise IncompatibleError(f"the task has {classes} classes, but the network {outputs} outputs")


def check_signals(name: str, part: Examples, leading: int) -> None:
    """Refuse ``learns`` and ``modulators`` that a learner does not take (no ``leading`` axes), or would broadcast.

    Raises:
        IncompatibleError: one sentence saying what does not fit.
    """
    for what, given, more in (("learns", part.learns, 0), ("modulators", part.modulators, 1)):
        if given is None:
            continue
        if not leading:
            raise IncompatibleError(f"the {name} set has {what}, which only plastic learners take")
        if given.ndim != leading + more or given.shape[:leading] != part.x.shape[:leading]:
            axes = ", ".join([*map(str, part.x.shape[:leading]), *["modulators"] * more])
            raise IncompatibleError(f"{what} of the {name} set must have the shape ({axes}), not {given.shape}")


def check_targets(
    name: str, y: Array | jax.ShapeDtypeStruct, readout: AbstractReadout, outputs: int, leading: tuple[int, ...]
) -> None:
    """Refuse targets that a readout does not take, or would broadcast.

    Raises:
        IncompatibleError: one sentence saying what does not fit.
    """
    kind, sort = type(readout).__name__, f"{y.dtype} numbers of shape {y.shape}"
    if readout.takes == "classes" and not (jnp.issubdtype(y.dtype, jnp.integer) and y.shape == leading):
        raise IncompatibleError(
            f"{kind} takes classes, which are integers of shape {leading}, but the targets of the {name} set are {sort}"
        )
    expected = (*leading, *readout.target_shape(outputs))
    if readout.takes == "numbers" and not (jnp.issubdtype(y.dtype, jnp.floating) and y.shape == expected):
        hint = f": reshape them to {expected}" if y.shape == expected[:-1] and expected[-1:] == (1,) else ""
        raise IncompatibleError(
            f"{kind} takes floating-point targets of shape {expected}, but those of the {name} set are {sort}{hint}"
        )
    _try_readout(readout, y, outputs, len(leading))


def check_rule(rule: Rule, shapes: tuple[tuple[int, int], ...]) -> None:
    """Refuse a plasticity rule that does not fit a network with weights of these shapes.

    Raises:
        IncompatibleError: one sentence saying what does not fit.
    """
    if not rule.coefficients.fits(len(rule.terms), shapes):
        raise IncompatibleError(
            f"the rule's coefficients do not fit its {len(rule.terms)} terms in a network with weights of shapes"
            f" {shapes}"
        )
    for per_layer, what in ((rule.active, "which terms act"), (rule.gains, "how strongly they do")):
        if per_layer is not None and len(per_layer) != len(shapes):
            raise IncompatibleError(
                f"the rule says for {len(per_layer)} layers {what}, but the network has {len(shapes)} layers"
            )


def _try_readout(readout: AbstractReadout, y: Array | jax.ShapeDtypeStruct, outputs: int, leading: int) -> None:
    """See to it that error and loss of a readout have the shapes they must have, on shapes alone."""
    kind, dtype = type(readout).__name__, jnp.result_type(float)
    one, two = (jax.ShapeDtypeStruct((*axes, *y.shape[leading:]), y.dtype) for axes in ((), (2,)))
    logits = [jax.ShapeDtypeStruct((*axes, outputs), dtype) for axes in ((), (2,))]
    try:
        error, loss = jax.eval_shape(readout.error, logits[0], one), jax.eval_shape(readout.loss, logits[1], two)
    except (TypeError, ValueError) as problem:
        raise IncompatibleError(
            f"{kind} does not take targets of shape {y.shape} for {outputs} outputs: {first_line(problem)}"
        ) from problem
    if error.shape != (outputs,) or loss.shape != ():
        raise IncompatibleError(
            f"with targets of shape {one.shape} the error of {kind} has shape {error.shape} and its loss {loss.shape},"
            f" but they must have ({outputs},) and ()"
        )


def first_line(error: Exception) -> str:
    """The message of an error, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
