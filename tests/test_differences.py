"""Who is better: differences trial by trial, what is said of them, and runs whose trials are pooled."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from scipy import stats

from metaplax import reports
from metaplax.analysis import Difference, over_trials, paired_difference, unpaired_difference
from metaplax.cli import main
from metaplax.runs import ReportOptions, RunFolder

GENERATOR = np.random.default_rng(0)
A, B = GENERATOR.normal(0.7, 0.1, 12), GENERATOR.normal(0.6, 0.2, 12)


def test_paired_differences_are_those_of_the_t_test():
    found, expected = paired_difference(A, B), stats.ttest_rel(A, B).confidence_interval(0.98)
    assert found.mean == pytest.approx(np.mean(A - B))
    np.testing.assert_allclose([found.ci_low, found.ci_high], [expected.low, expected.high])
    assert (found.n, found.paired) == (12, True)
    assert found.shown == (stats.ttest_rel(A, B).pvalue < 0.02)


def test_unpaired_differences_are_those_of_welch():
    found = unpaired_difference(A, [*B[:7], np.nan])
    expected = stats.ttest_ind(A, B[:7], equal_var=False).confidence_interval(0.98)
    np.testing.assert_allclose([found.ci_low, found.ci_high], [expected.low, expected.high])
    assert (found.n, found.paired) == (7, False)


def test_pairs_with_nan_are_left_out():
    holes = np.where(np.arange(12) == 3, np.nan, A)
    assert paired_difference(holes, B) == paired_difference(np.delete(A, 3), np.delete(B, 3))
    with pytest.raises(ValueError, match="as many trials"):
        paired_difference(A, B[:5])


@pytest.mark.parametrize("difference", [paired_difference, unpaired_difference])
@pytest.mark.parametrize("trials", [0, 1])
def test_too_few_trials_have_no_interval(difference, trials):
    found = difference(A[:trials], B[:trials])
    assert np.isnan([found.ci_low, found.ci_high]).all()
    assert (found.shown, found.n) == (None, trials)


def test_trials_that_are_the_same_differ_by_nothing():
    assert paired_difference(A, A).shown is False
    assert unpaired_difference([0.5] * 6, [0.5] * 6).shown is False


SENTENCES = [
    (Difference(0.037, 0.021, 0.053, 20, True), True,
     "F_bio is ahead of BP by 0.037 [0.021, 0.053] in score (paired over 20 trials)"),
    (Difference(-0.037, -0.053, -0.021, 20, True), True,
     "BP is ahead of F_bio by 0.037 [0.021, 0.053] in score (paired over 20 trials)"),
    (Difference(-0.037, -0.053, -0.021, 9, False), False,
     "F_bio is ahead of BP by 0.037 [0.021, 0.053] in score (unpaired, at least 9 trials each)"),
    (Difference(0.01, -0.02, 0.04, 5, True), True,
     "no difference is shown between F_bio and BP: they differ by 0.01 [-0.02, 0.04] in score (paired over 5 trials)"),
    (Difference(0.037, 0.021, 0.053, 4, True), True,
     "4 trials cannot tell which of F_bio and BP is better: they differ by 0.037 [0.021, 0.053] in score"
     " (paired over 4 trials)"),
    (Difference(0.037, np.nan, np.nan, 1, True), True,
     "1 trial cannot tell which of F_bio and BP is better: they differ by 0.037 in score (paired over 1 trial)"),
]  # fmt: skip


@pytest.mark.parametrize(("difference", "larger", "sentence"), SENTENCES)
def test_sentences(difference, larger, sentence):
    assert difference.sentence("F_bio", "BP", "score", larger_is_better=larger) == sentence


def folder(tmp_path, seed=1, arms=(("bp", 0.6), ("f_bio", 0.7)), steps=3, headline=("accuracy", "loss"), **config):
    """A finished run of arms with mean accuracies, over six trials that are better and worse together."""
    studies = {arm: {"arm": arm, "condition": "", "arm_label": arm, "label": arm, "terms": []} for arm, _ in arms}
    about = {"title": "", "source": "", "preset": "", "data": "glyphs", "data_dir": None, "data_sha256": "0"}
    options = asdict(ReportOptions(headline=headline))
    settings = {"seed": seed, "trials": 6, "rate": 0.1, **config}
    about |= {"experiment": "demo", "report": options, "studies": studies, "checkpoint_seconds": 1.0, "published": {}}
    made = RunFolder.create(tmp_path, "demo", about | {"config": settings})
    generator = np.random.default_rng(seed)
    common = generator.normal(0, 0.1, 6)
    for arm, mean in arms:
        for step in range(steps):
            values = (mean + common + generator.normal(0, 0.01, 6)).tolist()
            losses = [1 - value for value in values]
            row = {"study": arm, "step": step, "seconds": 1.0, "cpu_seconds": 2.0, "accuracy": values, "loss": losses}
            made.append(row)
    made.write_json("result.json", {"seconds": 3.0, "episodes_per_second": 1.0, "quantities": []})
    made.close()
    return made.path


@pytest.mark.parametrize(("headline", "sign"), [("accuracy", 1), ("loss", -1)])
def test_the_best_arm_is_named_first_in_a_report(headline, sign, tmp_path):
    path = folder(tmp_path, arms=(("bp", 0.6), ("f_bio", 0.7), ("fa", 0.2)), headline=(headline,))
    run = reports.read(path)
    lead = paired_difference(run.per_trial[f"{headline}.f_bio"], run.per_trial[f"{headline}.bp"])
    assert lead.shown
    size = f"{abs(lead.mean):.3g} [{min(abs(lead.ci_low), abs(lead.ci_high)):.3g}"
    assert reports.verdicts(run)[0].startswith(f"f_bio is ahead of bp by {size}")
    text = reports.write([path], tmp_path / "report.html").read_text()
    body = text[text.index("<body>") :]
    assert body.index("F_bio is ahead of bp by") < body.index("preset"), "before anything else is said"
    behind = reports.against_best(run)
    assert list(behind) == ["bp", "fa"]
    assert {best for best, _ in behind.values()} == {"f_bio"}
    assert np.sign(behind["fa"][1].mean) == -sign
    assert str(behind["fa"][1]) in text


@pytest.mark.parametrize(
    ("arms", "headline"),
    [((("bp", 0.6),), "accuracy"), ((("bp", 0.6), ("fa", 0.2)), "slope")],
    ids=["one arm", "slope"],
)
def test_nothing_is_said_where_nothing_is_better(arms, headline, tmp_path):
    run = reports.read(folder(tmp_path, arms=arms, headline=(headline,)))
    assert reports.verdicts(run) == []
    assert reports.against_best(run) == {}


@pytest.mark.parametrize(
    ("second", "paired", "pooled"),
    [({"rate": 0.2}, True, False), ({"seed": 2}, False, True), ({"seed": 2, "rate": 0.2}, False, False)],
    ids=["same trials", "only other seeds", "another run"],
)
def test_comparison_of_runs(second, paired, pooled, tmp_path, capsys):
    paths = folder(tmp_path), folder(tmp_path, arms=(("bp", 0.65), ("f_bio", 0.7)), **second)
    assert main(["compare", *map(str, paths), "--json"]) == 0
    row = next(row for row in json.loads(capsys.readouterr().out) if row["name"] == "accuracy.bp")
    ours, theirs = (reports.read(path).per_trial["accuracy.bp"] for path in paths)
    expected = (paired_difference if paired else unpaired_difference)(theirs, ours)
    assert row["interval"] == expected.as_json()
    assert row["difference"] == pytest.approx(expected.mean)
    assert row["interval"]["paired"] is paired
    assert ("pooled" in row) is pooled
    assert main(["compare", *map(str, paths)]) == 0
    said = capsys.readouterr().out
    assert ("unpaired" in said) is not paired
    assert "= 6)" in said, "the number of trials beside every interval"


def test_trials_of_runs_that_differ_in_their_seeds_are_pooled(tmp_path):
    paths = [folder(tmp_path, seed) for seed in (1, 2, 3)]
    single = [reports.read(path) for path in paths]
    (run,) = reports.pooled(single)
    values = np.concatenate([one.per_trial["accuracy.bp"] for one in single])
    assert run.quantities["accuracy.bp"] == over_trials("accuracy.bp", values, "fraction").as_json()
    assert run.series["bp"]["loss"].shape == (3, 18)
    assert run.spent["bp"][-1] == 18.0
    assert run.config["config"]["seed"] == [1, 2, 3]
    text = reports.write(paths, tmp_path / "report.html").read_text()
    assert "(paired over 18 trials)" in text
    assert all(path.name in text for path in paths)


@pytest.mark.parametrize("other", [{"seed": 1}, {"seed": 2, "rate": 0.2}, {"seed": 2, "steps": 2}])
def test_other_runs_are_not_pooled(other, tmp_path):
    runs = [reports.read(path) for path in (folder(tmp_path), folder(tmp_path, **other))]
    assert reports.pooled(runs) == runs


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "an earlier version"])
def test_quantities_with_values_of_trials_have_an_interval_of_their_difference(kept, tmp_path):
    path = folder(tmp_path)
    entry = over_trials("loss_at_equal_cost.bp", [1.0, 2.0, np.nan], "nats").as_json()
    assert entry["values"] == [1.0, 2.0, None]
    if not kept:
        del entry["values"]
    (path / "result.json").write_text(json.dumps({"quantities": [entry]}))
    run = reports.read(path)
    (row,) = (row for row in reports.compare(run, run) if row["name"] == entry["name"])
    expected = paired_difference([1.0, 2.0], [1.0, 2.0]).as_json()
    assert (row["difference"], row["interval"]) == (0.0, expected if kept else None)


def test_no_difference_at_all_has_no_sign():
    assert str(paired_difference([0.5, 0.5], [0.5, 0.5]).reversed()) == "0 [0, 0] (n = 2)"
