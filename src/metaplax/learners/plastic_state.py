"""What changes within an episode of a plastic learner, and what it sees of one step of time."""

import equinox as eqx
from jaxtyping import Array, Bool, Float, Num, PyTree


class PlasticState(eqx.Module):
    """What changes within an episode, or the changes of it.

    Attributes:
        weights: one matrix per connection.
        feedback: state of the feedback pathway.
        memory: of the terms of the rule, for every connection; ``()`` if they have none.
        modulator: what the modulator remembers.
        pathway: what the feedback pathway remembers from step to step.
        dynamics: of the network, where weights change at every step of time.
        largest: sizes of the rule's coefficients, where it limits its steps; they do not change.
        answers: sums over what was said to the examples so far, where the outer loss is prequential.
    """

    weights: PyTree
    feedback: PyTree
    memory: PyTree = ()
    modulator: PyTree = ()
    pathway: PyTree = ()
    dynamics: PyTree = ()
    largest: PyTree = ()
    answers: PyTree = ()


class Step(eqx.Module):
    """One step of time of one sequence.

    Attributes:
        x: the input.
        y: the target.
        is_first: whether a sequence begins.
        scored: 1 if the output is scored and taught at this step, else 0.
        learns: see ``Examples``.
        modulators: see ``Examples``.
    """

    x: Num[Array, "..."]
    y: Num[Array, "..."]
    is_first: Bool[Array, "..."]
    scored: Float[Array, "..."]
    learns: Float[Array, "..."] | None = None
    modulators: Float[Array, "... modulators"] | None = None
