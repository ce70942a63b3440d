"""Intervals over trials."""

import numpy as np
import pytest

from metaplax.analysis import Published, Quantity, bootstrap_interval, quantities
from metaplax.runs import ReportOptions, StudyDescription


def test_interval_covers_the_mean_and_shrinks_with_trials():
    generator = np.random.default_rng(0)
    widths = []
    for trials in (8, 80):
        values = generator.normal(1.0, 0.2, trials)
        low, high = bootstrap_interval(values)
        assert low <= values.mean() <= high
        widths.append(high - low)
    assert widths[1] < 0.8 * widths[0]


def test_interval_is_close_to_the_normal_one():
    values = np.random.default_rng(1).normal(0.0, 1.0, 400)
    low, high = bootstrap_interval(values, resamples=4000)
    half = 2.326 * values.std() / 20
    np.testing.assert_allclose([low, high], [values.mean() - half, values.mean() + half], atol=0.015)


def test_coverage():
    generator = np.random.default_rng(2)
    hits = 0
    for seed in range(200):
        low, high = bootstrap_interval(generator.normal(0.0, 1.0, 20), seed=seed)
        hits += low <= 0 <= high
    assert 0.9 < hits / 200 <= 1


def test_shapes_and_missing_trials():
    values = np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan]])
    low, high = bootstrap_interval(values)
    assert low.shape == (2,)
    assert 1 <= low[0] <= 2 <= high[0] <= 3
    assert np.isnan(low[1])
    low, high = bootstrap_interval([0.5])
    assert low == high == 0.5
    with pytest.raises(ValueError, match="at least one trial"):
        bootstrap_interval([])


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


def test_a_single_trial_has_no_interval_in_print():
    assert Quantity("regret", 0.0123, 0.01, 0.02, 5, "1").with_interval(100.0) == "1.23 [1, 2]"
    assert Quantity("regret", 0.0123, 0.0123, 0.0123, 1, "1").with_interval() == "0.0123"
