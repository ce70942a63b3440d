"""The report: one file, nothing fetched, nothing hostile, and the numbers of the run."""

import json
import re
from contextlib import closing
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from metaplax import reports
from metaplax.reports import Recorded
from metaplax.reports.conditions import scan
from metaplax.reports.panels import moving_average, panels
from metaplax.reports.series import in_groups
from metaplax.reports.style import MOST_POINTS
from metaplax.runs import ReportOptions, RunFolder, RunFolderError

HOSTILE = '<script>alert("x")</script> $\\frac{1$ & {{ 7*7 }}'
TERMS = [
    {"name": "0", "text": "eₗ yₗ₋₁ᵀ", "latex": r"e_\ell\, y_{\ell-1}^\top", "sign": -1},
    {"name": "9", "text": "yₗ (yₗ₋₁ − Wₗᵀyₗ)ᵀ", "latex": r"y_\ell\, (y_{\ell-1} - W_\ell^\top y_\ell)^\top", "sign": 1},
]


def described(label, terms, **more):
    return {"arm": label, "condition": "", "arm_label": label, "label": label, "terms": terms, **more}


def recorded(tmp_path, name="demo", label="learned rule", steps=30, finished=True):
    folder = RunFolder.create(
        tmp_path,
        name,
        {
            "experiment": name,
            "preset": "quick",
            "title": f"About {label}",
            "source": "Somebody (2023)",
            "data": label,
            "config": {"seed": label},
            "report": asdict(ReportOptions()),
            "studies": {"oja": described(label, TERMS), "fa": described("FA", TERMS[:1])},
            "data_dir": None,
            "data_sha256": "",
            "checkpoint_seconds": 1.0,
            "published": {"accuracy.oja": {"value": 0.7, "source": "Fig. 1"}},
        },
    )
    generator = np.random.default_rng(0)
    for rule, names in (("oja", ("theta0", "theta9")), ("fa", ("theta0",))):
        for step in range(steps):
            values = {n: generator.normal(0.01 * step, 0.1, 3).tolist() for n in ("accuracy", "loss", *names)}
            values |= {f"angle{k}": generator.uniform(60, 90, 3).tolist() for k in range(3)}
            if step == 4:
                values["loss"] = [None, 1.0, 1.0]
            folder.append({"study": rule, "step": step, "seconds": 0.1, "masked": [0, 0, 1], **values})
        folder.append({"study": rule, "step": steps, "final": True, **{n: [0.01, 0.02, 0.03] for n in names}})
    if finished:
        folder.write_json("result.json", {"seconds": 6.0, "episodes_per_second": 30.0, "findings": [f"it is {label}"]})
    folder.close()
    return folder.path


class Page(HTMLParser):
    """Collects what would run or be fetched, the ids, and the text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.links, self.text = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            elif name in ("src", "href", "xlink:href", "data", "action"):
                self.links.append(value)
            assert not name.startswith("on"), "no event handlers"

    def handle_data(self, data):
        self.text.append(data)


def page(*folders, tmp_path):
    target = reports.write(list(folders), tmp_path / "report.html")
    return Page(target.read_text()), target.read_text()


def test_one_file_that_fetches_nothing(tmp_path):
    parsed, text = page(recorded(tmp_path), tmp_path=tmp_path)
    assert parsed.tags.count("script") == 1, "the page's own"
    assert "fetch(" not in text
    assert "link" not in parsed.tags
    assert "img" not in parsed.tags
    assert all(link.startswith("#") for link in parsed.links)
    assert "url(http" not in text
    assert "@import" not in text
    assert parsed.tags.count("svg") == 3 + 4, "the terms of two equations; accuracy, loss, coefficients, angles"


def test_ids_are_unique_and_references_resolve(tmp_path):
    parsed, text = page(recorded(tmp_path), tmp_path=tmp_path)
    assert len(set(parsed.ids)) == len(parsed.ids)
    referred = {link[1:] for link in parsed.links} | set(re.findall(r"url\(#([^)]+)\)", text))
    assert referred <= set(parsed.ids)


def test_hostile_names_are_escaped(tmp_path):
    parsed, text = page(recorded(tmp_path, label=HOSTILE), tmp_path=tmp_path)
    assert parsed.tags.count("script") == 1, "the page's own"
    assert text.count("<script>") == 1
    assert "{{ 7*7 }}" in "".join(parsed.text)
    assert 'alert("x")' in "".join(parsed.text)


def test_numbers_are_those_of_the_run(tmp_path):
    folder = recorded(tmp_path)
    parsed, _ = page(folder, tmp_path=tmp_path)
    text = " ".join("".join(parsed.text).split())
    quantities = reports.read(folder).quantities
    assert f"{quantities['accuracy.oja']['mean']:.4g}" in text
    theta = quantities["theta9.oja"]
    assert f"θ9 = 0.02 [{theta['ci_low']:.4g}, {theta['ci_high']:.4g}] (n = 3)" in text
    assert "Fig. 1" in text
    assert quantities["masked.fa"]["mean"] == 10
    assert quantities["loss.oja"]["n"] == 3


def test_the_equation_is_that_of_the_mean_coefficients(tmp_path):
    run = reports.read(recorded(tmp_path))
    assert run.equations()[0] == "learned rule: ΔWₗ = −0.02 eₗ yₗ₋₁ᵀ + 0.02 yₗ (yₗ₋₁ − Wₗᵀyₗ)ᵀ"


def test_a_run_that_is_not_finished_says_so(tmp_path):
    parsed, _ = page(recorded(tmp_path, finished=False, steps=7), tmp_path=tmp_path)
    assert "This run is not finished" in "".join(parsed.text)
    assert "has done 7 episodes" in "".join(parsed.text)


def test_rules_of_several_runs_are_told_apart(tmp_path):
    folders = [recorded(tmp_path, name) for name in ("one", "two")]
    parsed, _ = page(*folders, tmp_path=tmp_path)
    assert len(set(parsed.ids)) == len(parsed.ids)
    text = "".join(parsed.text)
    for folder in folders:
        assert text.count(f"learned rule · {folder.name}") == 2, "a heading and a row of the table"
    assert not (folders[0] / "figures").exists()


def test_latex_that_cannot_be_drawn_is_written_as_text(tmp_path):
    folder = recorded(tmp_path)
    config = RunFolder(folder).config()
    config["studies"]["oja"]["terms"][0]["latex"] = r"\lVert y \rVert \mathds{1}"
    RunFolder(folder).write_json("config.json", config)
    parsed, _ = page(folder, tmp_path=tmp_path)
    assert "learned rule: ΔWₗ = −0.02 eₗ yₗ₋₁ᵀ" in "".join(parsed.text)


def test_quantities_that_were_never_finite_are_a_dash(tmp_path):
    folder = recorded(tmp_path)
    rows = RunFolder(folder).rows()
    (folder / "metrics.jsonl").unlink()
    with closing(RunFolder(folder)) as written:
        for row in rows:
            written.append(row | ({"loss": [None] * 3} if "loss" in row else {}))
    run = reports.read(folder)
    assert run.quantities["loss.oja"]["mean"] is None
    assert "loss.oja" not in {row["name"] for row in reports.compare(run, run)}
    page(folder, tmp_path=tmp_path)


def test_a_run_without_rows_has_a_report(tmp_path):
    _, text = page(recorded(tmp_path, steps=0, finished=False), tmp_path=tmp_path)
    assert "About learned rule" in text


def test_damaged_rows_are_a_sentence(tmp_path):
    folder = recorded(tmp_path)
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    (folder / "metrics.jsonl").write_text("\n".join([lines[0][:20], *lines[1:]]))
    with pytest.raises(RunFolderError, match="line 1 of"):
        reports.read(folder)


def test_figures_are_kept_beside_the_report(tmp_path):
    folder = recorded(tmp_path)
    reports.write([folder], tmp_path / "elsewhere.html")
    assert not (folder / "figures").exists()
    reports.write([folder], folder / "report.html")
    names = {path.name for path in (folder / "figures").iterdir()}
    assert names == {"accuracy.svg", "loss.svg", "coefficients.svg", "angles.svg"}
    first = {path.name: path.read_text() for path in (folder / "figures").iterdir()}
    reports.write([folder], folder / "report.html")
    assert first == {path.name: path.read_text() for path in (folder / "figures").iterdir()}


def test_moving_average():
    values = np.array([[1.0], [3.0], [np.nan], [5.0]])
    np.testing.assert_allclose(moving_average(values, 2), [[1.0], [2.0], [3.0], [5.0]])


def test_long_runs_have_short_reports(tmp_path):
    long, short = (recorded(tmp_path, name, steps=steps) for name, steps in (("long", 3 * MOST_POINTS), ("short", 300)))
    sizes = [len(reports.write([folder], tmp_path / f"{folder.name}.html").read_text()) for folder in (long, short)]
    assert sizes[0] < 1.5 * sizes[1], "four times as many steps, but hardly more points"
    run = reports.read(long)
    values, taken = run.series["fa"]["loss"], run.taken["fa"]
    assert (len(values), taken[0], taken[-1]) == (3 * MOST_POINTS, 1, 3 * MOST_POINTS), "only drawings are thinned"
    (axes,) = next(panel for panel in panels([run]) if panel.name == "loss").figure.axes
    x, y = axes.lines[-1].get_xdata(), axes.lines[-1].get_ydata()
    assert (len(x), x[0], x[-1]) == (MOST_POINTS, 1, 3 * MOST_POINTS)
    np.testing.assert_allclose(y, moving_average(values)[x - 1].mean(axis=1))


def test_curves_of_thinned_runs_are_drawn_at_their_steps(tmp_path):
    folder = recorded(tmp_path, steps=4)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    kept = [line for line in lines if not line.get("final")]
    for line in kept:
        line["step"] *= 16
        line |= {"stride": 16} if line["step"] else {}
        del line["checksum"]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in kept))
    run = reports.read(folder)
    (axes,) = next(panel for panel in panels([run]) if panel.name == "loss").figure.axes
    assert axes.lines[-1].get_xdata().tolist() == [1, 17, 33, 49]
    assert "masked.fa" not in run.quantities, "not all steps are known"


def test_comparison_of_a_run_with_itself(tmp_path):
    run = reports.read(recorded(tmp_path))
    rows = reports.compare(run, run)
    assert {row["name"] for row in rows} == run.quantities.keys()
    assert all(row["difference"] == 0 and row["overlap"] for row in rows)
    assert json.dumps(rows)


def scanned(**factors: float | None) -> Recorded:
    """A run whose rules differ in the factor of a penalty; the second has lost its second term."""
    terms = [{"name": name, "text": name, "latex": name, "sign": 1} for name in ("0", "2")]
    ends = {"first": {"0": (0.1, 0.3), "2": (0.2, 0.4)}, "second": {"0": (0.1, 0.2), "2": (-0.1, 0.1)}}
    quantities = {}
    for rule in ("first", "second"):
        quantities[f"accuracy.{rule}"] = {"mean": 0.7, "ci_low": 0.6, "ci_high": 0.8}
        for term, (low, high) in ends[rule].items():
            quantities[f"theta{term}.{rule}"] = {"mean": (low + high) / 2, "ci_low": low, "ci_high": high}
    config = {
        "studies": {rule: described(rule, terms, scanned=factors[rule]) for rule in ("first", "second")},
        "report": {"scanned": "λ"},
    }
    series = {rule: {"accuracy": np.ones((2, 3))} for rule in ("first", "second")}
    return Recorded(Path("run"), config, {}, {}, quantities, series)


def test_the_regularisation_path():
    figure = scan(scanned(first=0.1, second=10.0))
    assert figure is not None
    path, price = figure.axes
    drawn = {line.get_label(): line.get_xydata() for line in path.lines if str(line.get_label()).startswith("θ")}
    assert np.allclose(drawn["θ2"], [[0.1, 0.3], [10, 0]])
    assert [line.get_xdata()[0] for line in price.lines] == [2, 1], "how many terms are left"
    assert scan(scanned(first=None, second=None)) is None


def test_terms_without_an_interval_do_not_count_as_left():
    run = scanned(first=0.1, second=10.0)
    run.quantities["theta2.first"] |= {"ci_low": None, "ci_high": None}
    figure = scan(run)
    assert figure is not None
    assert [line.get_xdata()[0] for line in figure.axes[1].lines] == [1, 1]


def test_groups_of_steps_grow():
    values, spent = in_groups(np.arange(100.0)[:, None], np.arange(1.0, 101.0))
    assert len(values) == len(spent) < 60
    assert (values[0, 0], spent[0], spent[-1]) == (0.0, 1.0, 100.0)
    sizes = np.diff([0.0, *spent])
    assert sizes[0] == 1 < sizes[-1]
    np.testing.assert_allclose(sizes @ values[:, 0], np.arange(100.0).sum())
