"""Episodes from data of one's own: from arrays, or from a function that draws them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from metaplax.data.checks import check_finite, check_sizes
from metaplax.data.images import ArrayLike
from metaplax.tasks.episode import AbstractTask, Episode, Examples


class OwnEpisodes(AbstractTask):
    """Episodes that ``draw`` returns for a key; if it is a module, its arrays are not compiled into programs."""

    draw: Callable[[Key[Array, ""]], Any]
    outputs: int | None = eqx.field(static=True)

    @property
    def classes(self) -> int | None:
        return self.outputs

    def sample(self, key: Key[Array, ""]) -> Episode:
        drawn = self.draw(key)
        if isinstance(drawn, Episode):
            return drawn
        x, y, x_query, y_query = map(jnp.asarray, drawn)
        return Episode(Examples(x, y), Examples(x_query, y_query))


class DrawExamples(eqx.Module):
    """Different examples in random order, of ``ways`` of the classes in ``labels`` if there are any."""

    examples: Examples
    labels: Int[Array, " labels"] | None
    ways: int = eqx.field(static=True)
    sizes: tuple[int, int] = eqx.field(static=True)

    def __call__(self, key: Key[Array, ""]) -> Episode:
        """Draw one episode, with as many examples to learn from and to be scored on as ``sizes`` says."""
        row_key, class_key = jax.random.split(key)
        order = jax.random.permutation(row_key, len(self.examples.x))
        if self.labels is not None:
            chosen = jax.random.choice(class_key, self.labels, (self.ways,), replace=False)
            # Examples of the chosen classes come first, still in random order.
            order = order[jnp.argsort(~jnp.isin(self.examples.y[order], chosen), stable=True)]
        support, query = self.sizes
        scored = replace(self.examples.take(order[support : support + query]), modulators=None)
        return Episode(self.examples.take(order[:support]), scored)


def from_arrays(
    x: ArrayLike,
    y: ArrayLike,
    *,
    support: int,
    query: int,
    classes: int | None = None,
    ways: int | None = None,
    sequences: bool = False,
    modulators: ArrayLike | None = None,
) -> AbstractTask:
    """A distribution of episodes from arrays: each holds different examples of them, drawn at random in random order.

    Args:
        x: inputs, finite numbers of shape ``(examples, ...)``; used as they are, not scaled.
        y: targets. Integers or booleans of shape ``(examples,)`` are classes, numbered from 0; floating-point numbers
            of shape ``(examples, outputs)`` are numbers, and ``(examples,)`` becomes ``(examples, 1)``.
        support: examples to learn from per episode.
        query: examples to be scored on per episode.
        classes: number of classes; by default those in ``y``, which must then be all.
        ways: classes per episode, drawn anew in each, with random numbers of examples; by default no choice is made.
        sequences: whether ``x`` has shape ``(examples, time, ...)``. Then ``y`` may also have shape ``(examples,
            time)`` for classes, or ``(examples, time, outputs)`` for numbers.
        modulators: recorded signals that plastic learners broadcast to all synapses, such as the reward of each
            example, in place of those that a modulator makes: finite numbers of shape ``(examples,)`` or ``(examples,
            modulators)``; for sequences that are learned from step by step, ``(examples, time, modulators)``. Examples
            that are scored have none.

    Raises:
        ValueError: shapes, types or values are not as above, or more is asked for than there is.
    """
    check_sizes(support=support, query=query)
    inputs, targets, dtype = np.asarray(x), np.asarray(y), jnp.result_type(float)
    for name, array in (("x", inputs), ("y", targets)):
        check_finite(name, array)
        if np.abs(array).max(initial=0) > jnp.finfo(dtype).max:
            raise ValueError(f"{name} holds numbers that are too large for {dtype}")
    if inputs.ndim < 1 + sequences or 0 in inputs.shape[1:]:
        raise ValueError(f"x of shape {inputs.shape} is empty or not (examples{', time' * sequences}, ...)")
    if targets.shape[:1] != inputs.shape[:1]:
        raise ValueError(f"x has {len(inputs)} examples, but y has shape {targets.shape}")
    if support + query > len(inputs):
        raise ValueError(f"x has {len(inputs)} examples, too few for {support} + {query} different ones per episode")
    numbers = targets.dtype.kind == "f"
    if (numbers and classes is not None) or ((numbers or targets.ndim > 1) and ways is not None):
        raise ValueError(f"classes need integers y, ways a vector of them, not {targets.dtype} of {targets.shape}")
    targets = targets[:, None] if numbers and targets.ndim == 1 else targets
    steps = targets.shape[1 : targets.ndim - numbers]
    if (steps and not (sequences and steps == inputs.shape[1:2])) or 0 in targets.shape:
        more = (" or (examples, time)", " or (examples, time, outputs)") if sequences else ("", "")
        expected = f"classes of shape (examples,){more[0]} or real numbers of shape (examples, outputs){more[1]}"
        raise ValueError(f"y must be {expected}, not {targets.dtype} of shape {targets.shape}")
    outputs = None if numbers else _number_of_classes(targets, classes)
    labels = None if ways is None else _labels(targets, ways, support + query)
    examples = Examples(
        jnp.asarray(inputs, dtype), jnp.asarray(targets, dtype if numbers else jnp.int32),
        modulators=None if modulators is None else _signals(modulators, inputs, sequences=sequences),
    )  # fmt: skip
    return OwnEpisodes(DrawExamples(examples, labels, ways or 0, (support, query)), outputs)


def _signals(modulators: ArrayLike, inputs: np.ndarray, *, sequences: bool) -> Float[Array, "examples ..."]:
    found = np.asarray(modulators)
    found = found[:, None] if found.ndim == 1 else found
    expected = [inputs.shape[:1], *([inputs.shape[:2]] if sequences else [])]
    if found.dtype.kind not in "biuf" or found.shape[:-1] not in expected or 0 in found.shape:
        more = " or (examples, time, modulators)" if sequences else ""
        raise ValueError(
            f"modulators must be real numbers of shape (examples,) or (examples, modulators){more}, for the"
            f" {len(inputs)} examples of x, not {found.dtype} of shape {np.shape(modulators)}"
        )
    check_finite("modulators", found)
    return jnp.asarray(found, jnp.result_type(float))


def _number_of_classes(y: np.ndarray, classes: int | None) -> int:
    found, is_given = np.unique(y), classes is not None or y.dtype.kind == "b"
    count = (2 if classes is None else classes) if is_given else len(found)
    check_sizes(classes=count)
    if found[0] < 0 or found[-1] >= count:
        raise ValueError(
            f"classes y must be numbered from 0 to {count - 1}, not from {found[0]} to {found[-1]}: renumber them with"
            f" numpy.unique(y, return_inverse=True)[1], or take y.astype(float) if they are numbers"
        )
    return count


def _labels(y: np.ndarray, ways: int, needed: int) -> Int[Array, " labels"]:
    """The labels to choose from, if any choice has enough examples."""
    check_sizes(ways=ways)
    labels, counts = np.unique(y, return_counts=True)
    fewest = np.sort(counts)[:ways].sum()
    if ways > len(labels) or needed > fewest:
        raise ValueError(
            f"episodes of {needed} examples of {ways} classes need more than y has: {len(labels)} classes, the rarest"
            f" {ways} of which have {fewest} examples"
        )
    return jnp.asarray(labels, jnp.int32)


def from_function(sample: Callable[[Key[Array, ""]], Any], classes: int | None = None) -> AbstractTask:
    """A distribution of episodes that a function draws.

    Args:
        sample: a pure function of a key that JAX can trace. It returns an ``Episode``, or four arrays ``(x, y, x_query,
            y_query)``, whose leading axis counts examples; shapes are the same in every episode.
        classes: number of classes that integer targets are labels of; ``None`` if targets are not class labels.

    Raises:
        ValueError: ``sample`` cannot be traced, or returns something else.
    """
    check_sizes(classes=1 if classes is None else classes)
    try:
        drawn = jax.eval_shape(sample, jax.random.key(0))
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"sample cannot be traced by JAX: {type(error).__name__}: {reason}") from error
    if not isinstance(drawn, Episode) and (kind := jax.tree.structure(drawn)) != jax.tree.structure((0,) * 4):
        raise ValueError(f"sample must return an Episode or four arrays (x, y, x_query, y_query), not {kind}")
    return OwnEpisodes(sample, classes)
