"""Tables on the terminal."""

from collections import Counter
from itertools import groupby
from typing import Any

from rich.table import Table
from rich.text import Text

from metaplax.analysis import mean_and_interval
from metaplax.reports import Recorded, Swept, against_best
from metaplax.runs.sweep_folder import value_text


def grid(*titles: str, rows: list[list[str]], title: str = "", caption: str = "") -> Table:
    """A table of texts, printed as they are."""
    table = Table(*titles, title=Text(title) if title else None, caption=Text(caption) if caption else None)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def experiments(found: list[dict[str, Any]]) -> Table:
    """Experiments by the paper that their names begin with, which the names below it leave out."""
    table = grid("experiment", "what it shows", "data", rows=[], caption="run one with: metaplax run PAPER/EXPERIMENT")
    for paper, entries in groupby(found, key=lambda entry: entry["name"].rpartition("/")[0]):
        group = list(entries)
        if paper:
            table.add_section()
            table.add_row(Text(f"{paper}/", "bold"), Text(group[0]["source"], "bold"), "")
        for entry in group:
            cells = entry["name"].removeprefix(f"{paper}/"), entry["problem"] or entry["title"], entry["data"]
            table.add_row(*map(Text, cells))
        table.add_section()
    return table


def results(recorded: Recorded) -> Table:
    """The headline quantities of every main study, the first one with its interval, published number and rank."""
    first, *others = recorded.headline or ["loss"]
    published = any(quantity["published"] is not None for quantity in recorded.quantities.values())
    behind = against_best(recorded)
    rows = []
    for study, label in recorded.labels.items():
        found = recorded.quantities.get(f"{first}.{study}", {})
        interval = f"{number(found['ci_low'])} to {number(found['ci_high'])} (n = {found['n']})" if found else "-"
        rest = (recorded.quantities.get(f"{name}.{study}", {}) for name in others)
        middle = [number(found.get("published"))] if published else []
        middle += [str(behind[study][1]) if study in behind else ""] if behind else []
        rows.append([label, number(found.get("mean")), interval, *middle, *(number(one.get("mean")) for one in rest)])
    trials = next(iter(recorded.quantities.values()))["n"]
    middle = [title for title, shown in (("published", published), ("difference to the best", behind)) if shown]
    titles = ("arm", first, "98 % interval", *middle, *others)
    caption = f"{recorded.averaged}, mean over {trials} trials; data: {recorded.config['data']}"
    return grid(*(name.replace("_", " ") for name in titles), rows=rows, title=recorded.title, caption=caption)


def comparison(rows: list[dict[str, Any]]) -> Table:
    """Quantities of two runs, and of both together if they differ in their seeds only."""
    runs = [run for run in ("first", "second", "pooled") if any(run in row for row in rows)]
    cells = []
    for row in rows:
        known = [row.get(run, {"mean": None, "low": None, "high": None, "n": 0}) for run in runs]
        means = [mean_and_interval(entry["mean"], entry["low"], entry["high"], entry["n"]) for entry in known]
        cells.append([row["name"], *means, *_difference(row)])
    caption = "differences: second minus first, with 98 % intervals"
    return grid("quantity", *runs, "difference", "interval", "verdict", rows=cells, caption=caption)


def _difference(row: dict[str, Any]) -> list[str]:
    """A difference with its interval, whether its trials are paired, and whether it is shown."""
    found = row["interval"]
    if found is None:
        return [number(row["difference"]), "-", "-"]
    verdict = {None: "cannot tell", True: "they differ", False: "no difference shown"}[found["shown"]]
    text = mean_and_interval(found["mean"], found["ci_low"], found["ci_high"], found["n"])
    return [text, "paired" if found["paired"] else "unpaired", verdict]


def sweep_states(states: dict[str, dict[str, Any]]) -> Table:
    """The runs of a sweep, with how far they are."""
    rows = [
        [name, one["state"], f"{one['part']:.0%}", one["host"], " ".join(filter(None, (one["study"], one["error"])))]
        for name, one in states.items()
    ]
    count = Counter(one["state"] for one in states.values())
    caption = ", ".join(f"{number} {state}" for state, number in count.items())
    return grid("run", "state", "done", "host", "study", rows=rows, caption=caption)


def estimate(found: dict[str, Any]) -> Table:
    """What a sweep would cost."""
    timed = f"{found['settings_timed']} of {found['settings']} settings were timed, two steps each"
    left = ", ".join(found["studies_not_timed"])
    missing = f"; NOT COUNTED in hours and disk: {left}, which use what other studies have learned"
    caption = timed + missing if left else timed
    runs = f"{found['runs']} ({found['settings']} settings x {found['seeds']} seeds)"
    rows = [[runs, f"{found['cpu_hours']:.3g}", f"{found['hours']:.3g} ({found['workers']} at a time)"]]
    rows[0].append(f"{found['disk_gb']:.3g}")
    return grid("runs", "CPU-hours", "hours here", "disk, GB", rows=rows, caption=caption)


def sweep(swept: Swept, study: str) -> Table:
    """The settings of a sweep for one study, with paired differences to the reference."""
    rows = []
    for row in swept.rows(study):
        found, difference = row["quantity"], row["difference"]
        value = mean_and_interval(found["mean"], found["ci_low"], found["ci_high"], found["n"]) if found else "-"
        behind = "reference" if row["is_reference"] else str(difference or "-")
        finished = f"{len(row['finished'])}/{len(row['names'])}"
        rows.append([*(value_text(one) for one in row["setting"].values()), value, behind, finished])
    titles = (*swept.fields, swept.what, "difference to the reference", "runs")
    label = swept.any.labels[study] if swept.any else study
    caption = "means with 98 % intervals over all trials of all seeds; differences are paired by seed and trial"
    return grid(*titles, rows=rows, title=label, caption=caption)


def data_sets(states: list[dict[str, Any]]) -> Table:
    """Data sets and where they are."""
    rows = [[state["name"], state["summary"], state["where"], state["problem"] or state["state"]] for state in states]
    return grid("data set", "what", "where", "state", rows=rows)


def number(value: float | None) -> str:
    """Four significant digits, or a dash."""
    return "-" if value is None else f"{value:.4g}"
