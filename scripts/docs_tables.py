"""Write the tables of results in the documentation from ``docs/results``, or say which of them are out of date.

Usage: ``.venv/bin/python -m scripts.docs_tables [--check]``. A table is written between two marks; the first one says
in TOML what it shows::

    <!-- table
    results = ["shervani2023-fig3-paper"]
    first = "rule"
    rows = {bp = "BP", fa = "FA"}
    [columns]
    accuracy = "accuracy.{row}"
    "angle 1" = {of = "angle1.{row}", show = "mean", format = ".1f"}
    -->
    <!-- end of table -->

Rows are sorted by the mean of the quantity that ``largest`` names, if it is there, the largest first. A row is a label,
or a table with a ``label`` and what else its columns name in braces. A column is a quantity, or a table:

- ``of``: the quantity; ``RESULT:QUANTITY`` where several results hold it. Where a row has none, the cell is empty if
  the column is ``optional``.
- ``show``: ``interval`` (mean and interval, the default), ``mean``, ``low`` (the lower end), ``published`` (with its
  source, unless ``source = false``) or ``beside`` (the mean, and the published number in brackets).
- ``nonzero``: the beginning of names, such as ``theta``: those whose intervals do not hold zero.
- ``format``: of a number, as in Python; ``times``: a factor, or ``"tasks"`` for the number of tasks in meta-training.
- ``text``: words in place of a quantity.
- ``seconds``: if true, how long the run took that the row names as its ``result``; "not measured" if it names none.

``<!-- claims PAPER -->`` to ``<!-- end of claims -->`` is the table of claims of a paper, and with ``headlines`` that
of the main claims of all papers, see ``docs_claims.py``.
"""

import argparse
import os
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts import docs_claims
from scripts.kept_results import RESULTS, ROOT, TAKEN_ONCE, Kept, SpecError, find, kept, number, with_interval

TABLE = re.compile(r"(<!-- table\n(.*?)\n-->\n).*?(<!-- end of table -->)", re.DOTALL)
CLAIMS = re.compile(r"(<!-- claims (\w+) -->\n).*?(<!-- end of claims -->)", re.DOTALL)


def pages() -> list[Path]:
    """All pages that hold such a table."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [page for page in found if re.search("<!-- (table\n|claims )", page.read_text(encoding="utf-8"))]


def up_to_date(page: Path) -> str:
    """The text of a page with its tables written anew.

    Raises:
        SpecError: a table asks for what is not kept.
    """
    text = page.read_text(encoding="utf-8")
    marks = [
        text.count(mark) for mark in ("<!-- table\n", "<!-- end of table -->", "<!-- claims ", "<!-- end of claims")
    ]
    if marks != [*[len(TABLE.findall(text))] * 2, *[len(CLAIMS.findall(text))] * 2]:
        raise SpecError(f"{page.name}: every table needs both of its marks")
    text = TABLE.sub(lambda found: f"{found[1]}\n{table(read(found[2]), page)}\n\n{found[3]}", text)
    return CLAIMS.sub(lambda found: f"{found[1]}\n{docs_claims.table(found[2], page)}\n\n{found[3]}", text)


def read(text: str) -> dict[str, Any]:
    """What a mark asks for."""
    try:
        spec = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{text.splitlines()[0]!r} ... is not TOML: {error}") from error
    unknown = spec.keys() - {"results", "first", "largest", "rows", "columns"}
    if unknown or "results" not in spec or not spec.get("rows") or not spec.get("columns"):
        raise SpecError(f"a table has results, first, rows and columns, not {', '.join(spec)}")
    return spec


def table(spec: Mapping[str, Any], page: Path) -> str:
    """A table in Markdown, and below it what it comes from."""
    results = [kept(name) for name in spec["results"]]
    rows = {key: row if isinstance(row, dict) else {"label": row} for key, row in spec["rows"].items()}
    if "largest" in spec:
        mean = lambda key: find(spec["largest"].format(row=key), results)[1]["mean"]  # noqa: E731
        rows = {key: rows[key] for key in sorted(rows, key=mean, reverse=True)}
    shown: list[tuple[str, Kept, int]] = []
    lines = [[row["label"], *(cell(of, key, row, results, shown) for of in spec["columns"].values())] for key, row in
             rows.items()]  # fmt: skip
    usual = Counter(n for _, _, n in shown).most_common(1)[0][0] if shown else 0
    others = {text: n for text, _, n in shown if n != usual}
    lines = [[f"{text} (n = {others[text]})" if text in others else text for text in line] for line in lines]
    head = [spec.get("first", ""), *spec["columns"]]
    body = [f"| {' | '.join(line)} |".replace("|  |", "| |").replace("|  |", "| |") for line in (head, *lines)]
    used = list(dict.fromkeys(one.name for _, one, _ in shown)) or spec["results"]
    return "\n".join([body[0], "|" + "---|" * len(head), *body[1:], "", source(used, usual, page)])


def cell(
    column: str | Mapping[str, Any],
    key: str,
    row: Mapping[str, Any],
    results: list[Kept],
    shown: list[tuple[str, Kept, int]],
) -> str:
    """One cell; what it shows is noted in ``shown`` with the number of trials."""
    column = {"of": column} if isinstance(column, str) else column
    known = {"row": key, **row}
    try:
        if "text" in column:
            return column["text"].format_map(known)
        if column.get("seconds"):
            return f"{3600 * kept(row['result']).hours:,.0f}" if "result" in row else "not measured"
        if "nonzero" in column:
            return nonzero(column["nonzero"], key, results)
        name = column["of"].format_map(known)
        one, quantity = find(name, results)
    except (KeyError, SpecError) as error:
        if column.get("optional"):
            return ""
        raise SpecError(f"row {key!r}: {error}") from error
    times = one.tasks if column.get("times") == "tasks" else float(column.get("times", 1.0))
    form, show = column.get("format", ""), column.get("show", "interval")
    if show == "published":
        value, told = quantity["published"], quantity["published_source"]
        if value is None:
            return ""
        text = number(times * value, form or ".3g", quantity["unit"] if times == 1 else "")
        return text if column.get("source") is False else f"{text} ({told})"
    if show in ("mean", "beside"):
        quantity = {**quantity, "ci_low": None, "ci_high": None}
    elif show == "low":
        quantity = {**quantity, "mean": quantity["ci_low"], "ci_low": None}
    text = with_interval(quantity, form, times)
    if show == "beside":
        text = f"{text} ({number(quantity['published'], form, quantity['unit'])})"
    if not quantity["name"].startswith(TAKEN_ONCE):
        shown.append((text, one, quantity["n"]))
    return text


def nonzero(start: str, study: str, results: list[Kept]) -> str:
    """What follows ``start`` in the names of a study's quantities whose intervals do not hold zero."""
    pattern = re.compile(rf"{start}(\w+)\.{re.escape(study)}")
    found = [(pattern.fullmatch(name), it) for one in results for name, it in one.quantities.items()]
    held = [named[1] for named, it in found if named and not it["ci_low"] <= 0 <= it["ci_high"]]
    return ", ".join({"theta": "θ"}.get(start, start) + name for name in held)


def source(used: list[str], n: int, page: Path) -> str:
    """What a table comes from: number of trials, kind of intervals, files, commits and days."""
    results = [kept(name) for name in used]
    kinds = " and ".join(dict.fromkeys(f"{one.intervals} intervals" for one in results))
    files = "; ".join(
        f"[{one.name}]({Path(os.path.relpath(RESULTS, page.parent)).as_posix()}/{one.name}.json) at"
        f" `{'`, `'.join(one.commits)}`, {one.finished}"
        for one in results
    )
    trials = f"n = {n}, {kinds}. " if n > 1 else "One seed, no intervals. " if n else ""
    return f"*{trials}{files}.*"


def out_of_date() -> dict[Path, str]:
    """Pages whose tables are not what the kept results give, with the text that they should have.

    Raises:
        SpecError: a table or claim asks for what is not kept; it names the page.
    """
    found = {}
    for page in pages():
        try:
            text = up_to_date(page)
        except SpecError as error:
            raise SpecError(f"{page.relative_to(ROOT)}: {error}") from error
        if text != page.read_text(encoding="utf-8"):
            found[page] = text
    return found


def write() -> list[Path]:
    """Write all tables that are out of date; raises what ``out_of_date`` does."""
    stale = out_of_date()
    for page, text in stale.items():
        page.write_text(text, encoding="utf-8")
    return list(stale)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, and fail if a table is out of date")
    asked = parser.parse_args()
    try:
        stale = list(out_of_date()) if asked.check else write()
    except SpecError as error:
        print(error, file=sys.stderr)
        return 2
    for page in stale:
        print(f"{'out of date' if asked.check else 'written'}: {page.relative_to(ROOT)}")
    return int(asked.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
