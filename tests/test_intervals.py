"""Intervals over trials."""

import numpy as np
import pytest
from scipy import stats

from metaplax.analysis import Published, Quantity, interval, over_trials, quantities
from metaplax.runs import ReportOptions, StudyDescription


def test_symmetric_trials_have_students_interval():
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    expected = stats.t.interval(0.98, 4, loc=3.0, scale=stats.sem(values))
    np.testing.assert_allclose(interval(values), expected, rtol=1e-12)
    np.testing.assert_allclose(interval(values, level=0.9), stats.t.interval(0.9, 4, loc=3.0, scale=stats.sem(values)))


def test_the_interval_is_longer_on_the_side_of_the_long_tail_only():
    values = np.array([0.0, 0.0, 0.0, 0.1, 2.0, 0.3])
    low, high = stats.t.interval(0.98, 5, loc=values.mean(), scale=stats.sem(values))
    found = interval(values)
    assert found[0] == pytest.approx(low)
    assert found[1] > high + 0.1
    np.testing.assert_allclose(interval(-values), [-found[1], -found[0]])


def test_many_trials_have_the_normal_interval():
    values = np.random.default_rng(1).normal(0.0, 1.0, 4000)
    half = 2.326 * values.std() / np.sqrt(4000)
    np.testing.assert_allclose(interval(values), [values.mean() - half, values.mean() + half], atol=0.005)


def test_shapes_and_missing_trials():
    values = np.array([[1.0, np.nan, 1.0], [3.0, np.nan, np.nan], [np.nan, np.nan, np.nan], [4.0, np.nan, np.nan]])
    low, high = interval(values)
    assert low.shape == (3,)
    assert (low[0], high[0]) == tuple(interval([1.0, 3.0, 4.0]))
    assert np.isnan([low[1:], high[1:]]).all(), "fewer than two trials have no interval"
    assert tuple(interval([0.5, 0.5, 0.5])) == (0.5, 0.5)
    with pytest.raises(ValueError, match="at least one trial"):
        interval([])


def test_the_interval_of_a_fraction_ends_at_0_and_1():
    found = over_trials("accuracy.a", [0.9, 1.0, 1.0], "fraction")
    assert found.ci_high == 1.0
    assert over_trials("loss.a", [0.9, 1.0, 1.0], "nats").ci_high > 1.0


def test_quantities_are_means_over_the_last_episodes_then_over_trials():
    rows = [
        {
            "study": "a",
            "step": s,
            "accuracy": [s / 10, None if s == 4 else 0.5],
            "theta0": [0, 1],
            "masked": [0, s == 4],
        }
        for s in range(5)
    ]
    rows.append({"study": "a", "step": 5, "final": True, "theta0": [2, 4]})
    published = {"accuracy.a": Published(0.7, "Fig. 3")}
    studies = {"a": StudyDescription("a", "", "a")}
    found = {q.name: q for q in quantities(rows, studies, ReportOptions(averaged=2), published)}
    assert found["accuracy.a"].mean == pytest.approx((0.35 + 0.5) / 2)
    assert found["accuracy.a"].published == 0.7
    assert found["theta0.a"].mean == 3
    assert found["masked.a"].mean == 0.5
    assert found["theta0.a"].published is None


@pytest.mark.parametrize(
    ("name", "more", "expected"),
    [("a", {}, 3.5), ("a.test", {}, 2.0), ("a.test", {"parts": [1]}, 4.0)],
    ids=["the last two steps", "all steps in a condition", "the last step of a stream"],
)
def test_steps_that_count(name, more, expected):
    rows = [{"study": name, "step": s, "loss": [float(s)], **more} for s in range(5)]
    arm, _, condition = name.partition(".")
    (loss,) = quantities(rows, {name: StudyDescription(arm, condition, arm)}, ReportOptions(averaged=2), {})
    assert (loss.name, loss.mean, loss.unit) == (f"loss.{name}", expected, "nats")


@pytest.mark.parametrize(
    ("quantity", "factor", "text"),
    [
        (Quantity("regret", 0.0123, 0.01, 0.02, 5, "1"), 100.0, "1.23 [1, 2] (n = 5)"),
        (Quantity("regret", 0.0123, np.nan, np.nan, 1, "1"), 1.0, "0.0123 (n = 1)"),
        (Quantity("regret", np.nan, np.nan, np.nan, 0, "1"), 1.0, "-"),
    ],
)
def test_the_number_of_trials_is_printed_beside_every_interval(quantity, factor, text):
    assert quantity.with_interval(factor) == text
