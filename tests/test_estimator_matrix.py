"""Every learner with every estimator: exact and equal to finite differences, approximate, a fallback, or a refusal.

The table is a page of the documentation, which ``METAPLAX_WRITE_DOCS=1 pytest tests/test_estimator_matrix.py`` writes.
"""

import os
import re
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from every import ESTIMATORS, EXACT, KEY, LEARNERS, RUN, UNBIASED, Case, shapes
from metaplax.estimators import FallbackWarning, PersistentES, Reverse
from metaplax.estimators.perturbed import NOISE
from metaplax.learners import AbstractLearner, IncompatibleError, join, split

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "estimator-matrix.md"
BEGIN = "<!-- table: written by tests/test_estimator_matrix.py -->"
STEP = 1e-5
WRITES = bool(os.environ.get("METAPLAX_WRITE_DOCS"))


def moved(case: Case) -> AbstractLearner:
    """The learner at a point in general position: weights of zero or equal plasticities lie on kinks of a loss."""
    parameters, constants = split(case.make())
    flat, unravel = ravel_pytree(parameters)
    return join(unravel(flat + 0.02 * jax.random.normal(KEY, flat.shape)), constants)


def reference(case: Case) -> tuple[np.ndarray, float]:
    """A direction in the space of meta-parameters, and the derivative of the outer loss along it.

    By central differences in double precision; where spikes have no derivative, by that of the surrogate program.
    """
    learner, episode = moved(case), case.task.sample(KEY)
    parameters, constants = split(learner)
    flat, unravel = ravel_pytree(parameters)
    direction = jax.random.normal(jax.random.fold_in(KEY, 7), flat.shape)
    loss = jax.jit(lambda flat: join(unravel(flat), constants).run(episode, KEY)[0])
    if case.smooth:
        slope = (loss(flat + STEP * direction) - loss(flat - STEP * direction)) / (2 * STEP)
    else:
        slope = jax.jvp(loss, (flat,), (direction,))[1]
    return np.asarray(direction), float(slope)


def unbiased(case: Case, name: str, exact: np.ndarray) -> None:
    """Fails if an estimate is not what its own random directions make of the exact gradient.

    That is ``mean(v v') g`` over the directions ``v``, whose mean over seeds is ``g``. Windows with the same directions
    add up to it only if inner states, examples and randomness go on from one to the next as in the whole inner loop.
    """
    estimator, learner, episode = ESTIMATORS[name], moved(case), case.task.sample(KEY)
    found = jax.jit(lambda episode: estimator.value_and_grad(learner, episode, KEY))(episode).gradient
    key = jax.random.fold_in(KEY, NOISE)
    key = jax.random.split(key, 3)[0] if isinstance(estimator, PersistentES) else key
    noise = estimator.noise(key, split(learner)[0])
    directions = np.asarray(jax.vmap(lambda one: ravel_pytree(one)[0])(noise))
    expected = directions.T @ (directions @ exact) / len(directions)
    flat = np.asarray(ravel_pytree(found)[0])
    np.testing.assert_allclose(flat, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())


def refusal(case: Case, name: str) -> str:
    """Why an estimator refuses a learner; empty if it does not."""
    try:
        ESTIMATORS[name].check(moved(case), shapes(case))
    except IncompatibleError as error:
        return str(error)
    return ""


def cell(case: Case, name: str, direction: np.ndarray, slope: float) -> str:
    """What the table says of one pair; fails if it says less than it should."""
    estimator, learner = ESTIMATORS[name], moved(case)
    if why := refusal(case, name):
        return f"refused: {why}"
    if name in UNBIASED:
        jax.eval_shape(lambda episode: estimator.value_and_grad(learner, episode, KEY), shapes(case))
        return "unbiased"
    episode = case.task.sample(KEY)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", FallbackWarning)
        gradient = jax.jit(lambda episode: estimator.value_and_grad(learner, episode, KEY))(episode).gradient
    flat = np.asarray(ravel_pytree(gradient)[0])
    assert np.isfinite(flat).all()
    assert np.abs(flat).max() > 0, "a meta-gradient that is zero without a word"
    found = float(flat @ direction)
    if name in EXACT:
        assert found == pytest.approx(slope, rel=1e-5, abs=1e-8)
        fallbacks = [str(one.message) for one in caught if one.category is FallbackWarning]
        return f"exact, by a fallback: {fallbacks[0].partition(': ')[2]}" if fallbacks else "exact"
    return "approximate"


def row(name: str) -> dict[str, str]:
    with jax.enable_x64(True):
        direction, slope = reference(LEARNERS[name])
        return {estimator: cell(LEARNERS[name], estimator, direction, slope) for estimator in ESTIMATORS}


SYMBOLS = {
    "unbiased": "unbiased",
    "exact": "exact",
    "exact, by a fallback": "exact",
    "approximate": "approx.",
    "refused": "–",
}


def table(rows: dict[str, dict[str, str]]) -> str:
    """The table as Markdown: one symbol for each pair, and sentences with numbers below it."""
    notes: dict[str, int] = {}

    def mark(text: str) -> str:
        kind, _, sentence = text.partition(": ")
        return f"{SYMBOLS[kind]} ({notes.setdefault(sentence, len(notes) + 1)})" if sentence else SYMBOLS[kind]

    lines = ["| learner | " + " | ".join(ESTIMATORS) + " |", "|---|" + "---|" * len(ESTIMATORS)]
    lines += [f"| {name} | " + " | ".join(mark(text) for text in cells.values()) + " |" for name, cells in rows.items()]
    return "\n".join([*lines, "", *(f"{number}. {sentence}" for sentence, number in notes.items())])


def written(name: str) -> list[str]:
    """The cells that the page has for a learner, each with its sentence."""
    text = PAGE.read_text(encoding="utf-8")
    notes = dict(re.findall(r"^(\d+)\. (.*)$", text, re.MULTILINE))
    (line,) = (line for line in text.splitlines() if line.startswith(f"| {name} |"))
    cells = [cell.strip() for cell in line.split("|")[2:-1]]
    return [re.sub(r" \((\d+)\)$", lambda found: f": {notes[found[1]]}", cell) for cell in cells]


@pytest.mark.skipif(WRITES, reason="the page is written")
@pytest.mark.parametrize("name", LEARNERS)
def test_no_pair_is_silent_and_the_page_is_right(name):
    found = [text.partition(": ") for text in row(name).values()]
    assert [SYMBOLS[kind] + joint + sentence for kind, joint, sentence in found] == written(name)


@pytest.mark.parametrize("name", LEARNERS if WRITES else RUN)
def test_what_is_called_unbiased_is_so(name):
    with jax.enable_x64(True):
        case = LEARNERS[name]
        learner, episode = moved(case), case.task.sample(KEY)
        exact = jax.jit(lambda episode: Reverse().value_and_grad(learner, episode, KEY))(episode).gradient
        # Spikes jump: differences of losses are no derivative of the surrogate program.
        for estimator in UNBIASED if case.smooth else ("ForwardGradient",):
            if refusal(case, estimator):
                continue
            unbiased(case, estimator, np.asarray(ravel_pytree(exact)[0]))


@pytest.mark.skipif(not WRITES, reason="METAPLAX_WRITE_DOCS is not set: the page is only compared")
def test_write_the_page():
    head = PAGE.read_text(encoding="utf-8").partition(BEGIN)[0]
    rows = {name: row(name) for name in LEARNERS}
    PAGE.write_text(f"{head}{BEGIN}\n\n{table(rows)}\n", encoding="utf-8")
