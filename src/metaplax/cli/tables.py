"""Tables on the terminal."""

from typing import Any

from rich.table import Table
from rich.text import Text

from metaplax.reports import Recorded


def experiments(found: list[dict[str, Any]]) -> Table:
    """Experiments by name."""
    table = Table("experiment", "what it shows", "source")
    for entry in found:
        table.add_row(entry["name"], entry["title"], entry["source"])
    return table


def results(recorded: Recorded) -> Table:
    """Accuracy and loss of every rule, with intervals, beside what was published."""
    first = next(iter(recorded.quantities.values()))
    table = Table("rule", "accuracy", "98 % interval", "published", "loss", title=Text(recorded.title))
    table.caption = Text(f"last 100 episodes, mean over {first['n']} trials; data: {recorded.data}")
    for rule, label in recorded.labels.items():
        accuracy, loss = (recorded.quantities.get(f"{name}.{rule}") for name in ("accuracy", "loss"))
        if accuracy and loss:
            interval = f"{number(accuracy['ci_low'])} to {number(accuracy['ci_high'])}"
            published = number(accuracy["published"])
            table.add_row(Text(label), number(accuracy["mean"]), interval, published, number(loss["mean"]))
    return table


def comparison(rows: list[dict[str, Any]]) -> Table:
    """Quantities of two runs."""
    table = Table("quantity", "first", "second", "difference", "intervals")
    for row in rows:
        ends = [f"{number(row[run]['mean'])} [{number(row[run]['low'])}, {number(row[run]['high'])}]" for run in RUNS]
        table.add_row(row["name"], *ends, number(row["difference"]), "overlap" if row["overlap"] else "apart")
    return table


RUNS = ("first", "second")


def data_sets(states: list[dict[str, Any]]) -> Table:
    """Data sets and where they are."""
    table = Table("data set", "what", "where", "state")
    for state in states:
        table.add_row(
            *(Text(state[key]) for key in ("name", "summary", "where")), Text(state["problem"] or state["state"])
        )
    return table


def number(value: float | None) -> str:
    """Four significant digits, or a dash."""
    return "–" if value is None else f"{value:.4g}"
