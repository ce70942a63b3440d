"""Tables on the terminal."""

from typing import Any

from rich.table import Table
from rich.text import Text

from metaplax.reports import Recorded

RUNS = ("first", "second")


def grid(*titles: str, rows: list[list[str]], title: str = "", caption: str = "") -> Table:
    """A table of texts, printed as they are."""
    table = Table(*titles, title=Text(title) if title else None, caption=Text(caption) if caption else None)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def experiments(found: list[dict[str, Any]]) -> Table:
    """Experiments by name."""
    rows = [[entry["name"], entry["problem"] or entry["title"], entry["source"]] for entry in found]
    return grid("experiment", "what it shows", "source", rows=rows)


def results(recorded: Recorded) -> Table:
    """The headline quantities of every main study, the first one with its interval and the published number."""
    first, *others = recorded.headline or ["loss"]
    published = any(quantity["published"] is not None for quantity in recorded.quantities.values())
    rows = []
    for study, label in recorded.labels.items():
        found = recorded.quantities.get(f"{first}.{study}", {})
        interval = f"{number(found['ci_low'])} to {number(found['ci_high'])}" if found else "-"
        rest = (recorded.quantities.get(f"{name}.{study}", {}) for name in others)
        middle = [number(found.get("published"))] if published else []
        rows.append([label, number(found.get("mean")), interval, *middle, *(number(one.get("mean")) for one in rest)])
    trials = next(iter(recorded.quantities.values()))["n"]
    titles = ("arm", first, "98 % interval", *(("published",) if published else ()), *others)
    caption = f"last {recorded.options.averaged} steps, mean over {trials} trials; data: {recorded.config['data']}"
    return grid(*(name.replace("_", " ") for name in titles), rows=rows, title=recorded.title, caption=caption)


def comparison(rows: list[dict[str, Any]]) -> Table:
    """Quantities of two runs."""
    cells = []
    for row in rows:
        ends = [f"{number(row[run]['mean'])} [{number(row[run]['low'])}, {number(row[run]['high'])}]" for run in RUNS]
        cells.append([row["name"], *ends, number(row["difference"]), "overlap" if row["overlap"] else "apart"])
    return grid("quantity", *RUNS, "difference", "intervals", rows=cells)


def data_sets(states: list[dict[str, Any]]) -> Table:
    """Data sets and where they are."""
    rows = [[state["name"], state["summary"], state["where"], state["problem"] or state["state"]] for state in states]
    return grid("data set", "what", "where", "state", rows=rows)


def number(value: float | None) -> str:
    """Four significant digits, or a dash."""
    return "-" if value is None else f"{value:.4g}"
