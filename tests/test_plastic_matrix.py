"""Every network with every pathway, rule and way to update: refused in one sentence, or exact.

The tables are a page of the documentation, which ``METAPLAX_WRITE_DOCS=1 pytest tests/test_plastic_matrix.py`` writes.
"""

import os
import re
import warnings
from collections.abc import Callable
from functools import cache
from itertools import combinations, product
from pathlib import Path

import jax
import jaxtyping
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from every_plastic import ESTIMATORS, EXAMPLE, KEY, MINIBATCH, NETWORKS, PATHWAYS, RULES, STEP, TIMES, WITH_TIME, Case
from metaplax.estimators import FallbackWarning
from metaplax.estimators.reversible import why_not_reversible
from metaplax.learners import AbstractLearner, join, split
from metaplax.tasks import Episode

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "plastic-matrix.md"
BEGIN = "<!-- tables: written by tests/test_plastic_matrix.py -->"
WRITES = bool(os.environ.get("METAPLAX_WRITE_DOCS"))
WHOLE = bool(os.environ.get("METAPLAX_WHOLE_MATRIX"))
"""Whether the programs of all combinations are traced, which takes minutes."""
DIFFERENCES = {1: 8 / 12, -1: -8 / 12, 2: -1 / 12, -2: 1 / 12}
"""Where the outer loss is taken, in steps of ``WIDTH``, and with which weight: of an error of fourth order."""
WIDTH = 3e-5
STARTS = ("drawn", "learned")
FACTORS = {
    "network": tuple(NETWORKS), "pathway": tuple(PATHWAYS), "rule": tuple(RULES), "when": TIMES,
    "estimator": tuple(ESTIMATORS), "start": STARTS,
}  # fmt: skip
TOGETHER = [
    pair for pair in combinations(FACTORS, 2) if "network" in pair or "estimator" in pair or pair == ("rule", "when")
]
"""Pairs of factors whose values are all met together in the set of cases that is compared with differences."""


@cache
def episode(network: str, when: str) -> Episode:
    return Case(network, when=when).episode()


def pairs(case: Case) -> set[tuple[str, str, str, str]]:
    return {(one, getattr(case, one), other, getattr(case, other)) for one, other in TOGETHER}


def covering() -> list[Case]:
    """For every network and pathway the case that meets the most new pairs of ``TOGETHER``; then more until all are."""
    groups: dict[tuple[str, str], list[Case]] = {}
    for values in product(*FACTORS.values()):
        if not (case := Case(*values)).refusal:
            groups.setdefault(values[:2], []).append(case)
    met = {case: pairs(case) for cases in groups.values() for case in cases}
    missing = set().union(*met.values())
    chosen = []
    remaining = iter(groups.values())
    while cases := next(remaining, list(met) if missing else None):
        # Among equals the first is taken, from a place that moves on, so that nothing is preferred.
        place = 37 * len(chosen) % len(cases)
        chosen.append(max(cases[place:] + cases[:place], key=lambda case: len(met[case] & missing)))
        missing -= met[chosen[-1]]
    return chosen


def is_traced(case: Case) -> bool:
    """Whether the program of a case is traced: for every network, rule and time that of one pathway in turn."""
    network, pathway, rule, when = (
        FACTORS[name].index(getattr(case, name)) for name in ("network", "pathway", "rule", "when")
    )
    return WHOLE or (rule + 5 * network + 2 * when) % len(PATHWAYS) == pathway


def assert_one_sentence(error: ValueError, part: str) -> None:
    text = str(error)
    assert part in text
    assert "\n" not in text
    assert not text.endswith(".")


@pytest.fixture
def fast_x64():
    """Double precision, without the checks of shapes at every call: those take most of the time of tracing.

    The same programs are traced with them in ``test_plastic_properties.py``.
    """
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        with jax.enable_x64(True):
            yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("fast_x64")
@pytest.mark.parametrize("network", NETWORKS)
def test_every_combination_is_made_and_traced_or_refused_in_one_sentence(network):
    for pathway, rule, when in product(PATHWAYS, RULES, TIMES):
        case = Case(network, pathway, rule, when)
        try:
            learner = case.make()
        except ValueError as error:
            assert case.refusal is not None, case
            assert_one_sentence(error, case.refusal)
            continue
        assert case.refusal is None, case
        if is_traced(case):
            for estimator in ESTIMATORS.values():
                estimator.check(learner)
            learner.check(episode(network, when))
            loss, _ = jax.eval_shape(learner.run, episode(network, when), KEY)
            assert loss.shape == ()


CASES = covering()


def test_the_cases_meet_every_pair_that_is_not_refused():
    every = {(a, first, b, second) for a, b in TOGETHER for first, second in product(FACTORS[a], FACTORS[b])}
    refused = {("network", name, "when", STEP) for name in NETWORKS if name not in WITH_TIME}
    assert set().union(*map(pairs, CASES)) == every - refused


def moved(case: Case) -> tuple[Callable[[jax.Array], AbstractLearner], jax.Array]:
    """The learner as a function of its meta-parameters, and those in general position."""
    parameters, constants = split(case.make())
    flat, unravel = ravel_pytree(parameters)
    flat = flat + 0.02 * jax.random.normal(jax.random.fold_in(KEY, 5), flat.shape)
    return lambda flat: join(unravel(flat), constants), flat


@pytest.mark.usefixtures("fast_x64")
@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(vars(case).values()))
def test_exact_estimators_equal_differences(case):
    made, flat = moved(case)
    seen, estimator = case.episode(), ESTIMATORS[case.estimator]
    direction = jax.random.normal(jax.random.fold_in(KEY, 7), flat.shape)

    def estimate(flat):
        found = estimator.value_and_grad(made(flat), seen, KEY)
        loss, gradient = found.loss, found.gradient
        run = lambda flat: made(flat).run(seen, KEY)[0]  # noqa: E731
        surrogate = None if case.is_smooth else jax.jvp(run, (flat,), (direction,))[1]
        return loss, ravel_pytree(gradient)[0], surrogate

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", FallbackWarning)
        estimate = jax.jit(estimate).lower(flat).compile()
    _, gradient, slope = estimate(flat)
    if case.is_smooth:
        losses = {k: estimate(flat + k * WIDTH * direction)[0] for k in DIFFERENCES}
        slope = sum(weight * losses[k] for k, weight in DIFFERENCES.items()) / WIDTH
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 1e-6
    assert gradient @ direction == pytest.approx(float(slope), rel=1e-5, abs=1e-9)
    reason = why_not_reversible(made(flat), seen, KEY) if case.estimator == "Reversible" else None
    said = [str(one.message).partition(": ")[2] for one in caught if one.category is FallbackWarning]
    assert said == ([] if reason is None else [reason])


def cell(case: Case) -> str:
    """What a table says of one case: which loop computes its exact meta-gradient, or why there is none."""
    try:
        learner = case.make()
    except ValueError as error:
        return f"– ({error})"
    reason = why_not_reversible(learner, episode(case.network, case.when), KEY)
    return "exact" if reason is None else f"exact ({reason})"


TABLES = {"rule": RULES, "pathway": PATHWAYS}
ROWS = {"rule": (EXAMPLE, STEP), "pathway": (EXAMPLE, MINIBATCH)}
"""When weights change in the rows of a table: a minibatch makes no difference to rules, nor a step to pathways."""


def rows(network: str, kind: str) -> dict[str, list[str]]:
    """The rows of one network in one table, with what every rule or every pathway gives."""
    return {
        f"{network}, {when}": [cell(Case(network, when=when, **{kind: name})) for name in TABLES[kind]]
        for when in ROWS[kind]
    }


def tables() -> str:
    """Both tables as Markdown, with the sentences of both below."""
    notes: dict[str, int] = {}

    def mark(text: str) -> str:
        symbol, _, sentence = text.removesuffix(")").partition(" (")
        return f"{symbol} ({notes.setdefault(sentence, len(notes) + 1)})" if sentence else symbol

    lines = []
    for kind, columns in TABLES.items():
        lines += [f"## Every {kind}", "", f"| network | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
        for network in NETWORKS:
            lines += [f"| {name} | {' | '.join(map(mark, row))} |" for name, row in rows(network, kind).items()]
        lines += [""]
    return "\n".join([*lines, *(f"{number}. {sentence}" for sentence, number in notes.items())])


def written(network: str, kind: str) -> dict[str, list[str]]:
    """The rows that the page has for a network in one table, each cell with its sentence."""
    text = PAGE.read_text(encoding="utf-8")
    notes = dict(re.findall(r"^(\d+)\. (.*)$", text, re.MULTILINE))
    table = text.partition(f"## Every {kind}\n")[2].partition("\n## ")[0]
    found = {}
    for name in (f"{network}, {when}" for when in ROWS[kind]):
        (line,) = (line for line in table.splitlines() if line.startswith(f"| {name} |"))
        cells = [each.strip() for each in line.split("|")[2:-1]]
        found[name] = [re.sub(r"\((\d+)\)$", lambda found: f"({notes[found[1]]})", each) for each in cells]
    return found


@pytest.mark.skipif(WRITES, reason="the page is written")
@pytest.mark.usefixtures("fast_x64")
@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("network", NETWORKS)
def test_the_page_says_which_loop_runs(network, kind):
    assert rows(network, kind) == written(network, kind)


@pytest.mark.skipif(not WRITES, reason="METAPLAX_WRITE_DOCS is not set: the page is only compared")
@pytest.mark.usefixtures("fast_x64")
def test_write_the_page():
    head = PAGE.read_text(encoding="utf-8").partition(BEGIN)[0]
    PAGE.write_text(f"{head}{BEGIN}\n\n{tables()}\n", encoding="utf-8")
