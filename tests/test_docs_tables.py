"""Tables of results are what the kept summaries give, and no verdict is better than its numbers.

``METAPLAX_WRITE_DOCS=1 pytest tests/test_docs_tables.py`` writes the tables, and so does ``make tables``.
"""

import os
import re

import pytest

from scripts import docs_claims, docs_tables
from scripts.docs_claims import VERDICTS, decided, faults
from scripts.kept_results import Kept, SpecError, kept

WRITES = bool(os.environ.get("METAPLAX_WRITE_DOCS"))
PAPERS = ("shervani2023", "lindsey2020", "zucchet2022", "mehta2024")
TABLE = """<!-- table
results = ["shervani2023-fig3-paper"]
rows = {bp = "BP", fa = "FA"}
columns = {accuracy = "accuracy.{row}", published = {of = "accuracy.{row}", show = "published"}}
-->
<!-- end of table -->
"""


@pytest.mark.skipif(WRITES, reason="the pages are written")
@pytest.mark.parametrize("page", docs_tables.pages(), ids=lambda page: page.name)
def test_tables_are_what_the_results_give(page):
    assert page.read_text(encoding="utf-8") == docs_tables.up_to_date(page)


@pytest.mark.skipif(not WRITES, reason="METAPLAX_WRITE_DOCS is not set: the pages are only compared")
def test_write_the_pages():
    docs_tables.write()


@pytest.fixture
def page(tmp_path, monkeypatch):
    """A page with one table, written."""
    page = tmp_path / "page.md"
    page.write_text(TABLE)
    monkeypatch.setattr(docs_tables, "pages", lambda: [page])
    monkeypatch.setattr(docs_tables, "ROOT", tmp_path)
    docs_tables.write()
    return page


def test_a_table_has_intervals_published_numbers_n_and_source(page):
    text = page.read_text()
    bp = kept("shervani2023-fig3-paper").quantities["accuracy.bp"]
    low, mean, high = (f"{bp[end]:.3f}".lstrip("0") for end in ("ci_low", "mean", "ci_high"))
    assert f"| BP | {mean} [{low}, {high}] | 0.7 (text on Fig. 3a, about 70 %) |" in text.replace("| .7 (", "| 0.7 (")
    assert "*n = 20, 98 % percentile bootstrap intervals. [shervani2023-fig3-paper](" in text
    assert "at `08e2475`, 2026-11-25.*" in text
    assert docs_tables.out_of_date() == {}


def test_rows_are_sorted_and_runs_are_timed(page):
    timed = 'columns = {seconds = {seconds = true}}\nlargest = "accuracy.{row}"'
    rows = 'rows = {fa = "FA", bp = {label = "BP", result = "shervani2023-fig3-paper"}}'
    page.write_text(re.sub(r"rows = .*\ncolumns = .*", f"{rows}\n{timed}", TABLE))
    docs_tables.write()
    assert re.findall(r"^\| (.*) \|$", page.read_text(), re.MULTILINE)[1:] == ["BP | 397", "FA | not measured"]


def test_a_table_that_was_edited_is_found_and_mended(page):
    text = page.read_text()
    page.write_text(text.replace("| FA | .219", "| FA | .299"))
    assert docs_tables.out_of_date() == {page: text}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "accuracy.{row}",
            "precision.{row}",
            r"'precision.bp' must be in one of shervani2023-fig3-paper, and is in none",
        ),
        ("fig3", "fig33", r"there is no .*shervani2023-fig33-paper.json"),
        ("rows", "lines", "a table has results, first, rows and columns, not results, lines, columns"),
        ("<!-- end of table -->", "", "every table needs both of its marks"),
        ("results =", "results", "is not TOML"),
    ],
)
def test_a_table_that_cannot_be_written_is_refused_in_one_sentence(old, new, said, page):
    page.write_text(TABLE.replace(old, new))
    with pytest.raises(SpecError, match=said):
        docs_tables.out_of_date()


@pytest.mark.parametrize("paper", PAPERS)
def test_no_verdict_is_better_than_its_numbers(paper):
    assert {claim["claim"]: said for claim in docs_claims.claims()[paper] if (said := faults(claim))} == {}


def test_headlines_have_verdicts_and_all_claims_are_counted():
    lines = docs_claims.headlines().splitlines()
    every = [claim for paper in PAPERS for claim in docs_claims.claims()[paper]]
    shown = [claim for claim in every if "headline" in claim]
    assert len(lines) == len(shown) + 4
    for line, claim in zip(lines[2:], shown, strict=False):
        assert f"| {claim['headline']} |" in line
        assert f"| **{claim['verdict']}** |" in line
        assert claim["verdict"] == "reproduced" or claim["why"].split(" (below)")[0] in line
    assert sum(map(int, re.findall(r"(\d+) (?:reproduced|weaker|contradicted|not tried)", lines[-1]))) == len(every)


def result(values: bool, finished="2027-01-01", **numbers: tuple[float, ...]) -> Kept:
    """A summary with one quantity for each of the given trials, and intervals of twice their range around the mean."""
    quantities = {}
    for name, trials in numbers.items():
        mean, half = sum(trials) / len(trials), max(trials) - min(trials)
        known = {"values": list(trials)} if values else {}
        ends = {"mean": mean, "ci_low": mean - half, "ci_high": mean + half, "n": len(trials)}
        quantities[name] = (
            ends | known | {"name": name, "unit": "fraction", "published": None, "published_source": None}
        )
    return Kept("mine", {"finished": finished}, quantities)


LOW, HIGH = (0.50, 0.60, 0.55, 0.52, 0.58), (0.52, 0.63, 0.57, 0.54, 0.61)
ORDER = {"result": "mine", "larger": "high", "smaller": "low"}
EQUAL = {"result": "mine", "first": "low", "second": "high", "margin": 0.04}
NEAR = {"result": "mine", "quantity": "low", "value": 0.55, "margin": 0.11}


@pytest.mark.parametrize(
    ("check", "kept_values", "trials", "finished", "verdict"),
    [
        (ORDER, True, 5, "2027-01-01", "reproduced"),
        (ORDER, True, 4, "2027-01-01", "weaker"),
        (ORDER, False, 5, "2027-01-01", "weaker"),
        (ORDER | {"larger": "low", "smaller": "high"}, True, 5, "2027-01-01", "contradicted"),
        (EQUAL, True, 5, "2027-01-01", "reproduced"),
        (EQUAL, True, 5, "2026-11-26", "weaker"),
        (EQUAL | {"margin": 0.02}, True, 5, "2027-01-01", "weaker"),
        (NEAR, False, 5, "2027-01-01", "reproduced"),
        (NEAR | {"value": 0.65}, False, 5, "2027-01-01", "weaker"),
        (NEAR, False, 4, "2027-01-01", "weaker"),
        ({"result": "mine", "quantity": "low", "holds": 0.0}, False, 5, "2027-01-01", "contradicted"),
        ({"result": "mine", "quantity": "low", "above": 0.3}, False, 5, "2027-01-01", "reproduced"),
        ({"result": "mine", "quantity": "low", "below": 0.3}, False, 5, "2027-01-01", "contradicted"),
    ],
)
def test_what_numbers_say_of_a_claim(check, kept_values, trials, finished, verdict, monkeypatch):
    mine = result(kept_values, finished, low=LOW[:trials], high=HIGH[:trials])
    monkeypatch.setattr(docs_claims, "kept", lambda name: mine)
    claim = {"claim": "", "published": "", "source": "", "verdict": verdict, "why": "so", "checks": [check]}
    assert decided(claim) == verdict
    assert faults(claim) == []
    for better in VERDICTS[: VERDICTS.index(verdict)]:
        assert faults(claim | {"verdict": better}) == [f"it is called {better}, and its numbers say {verdict}"]
    assert faults(claim | {"verdict": "not tried"}) == ["claims with checks are tried, and those without are not"]
    assert docs_claims.ours(check)
