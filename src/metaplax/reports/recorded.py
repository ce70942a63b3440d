"""What a run folder holds, ready to be drawn or printed."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from metaplax.analysis import LAST, Published, quantities
from metaplax.plasticity import PrintedTerm, as_latex, as_text
from metaplax.runs import RunFolder

NOT_SERIES = {"rule", "step", "seconds", "cpu_seconds", "final", "episodes"}


@dataclass(frozen=True)
class Recorded:
    """One run, finished or not.

    Attributes:
        path: the run folder.
        config: ``config.json``.
        env: ``env.json``.
        result: ``result.json``; empty while the run is not finished.
        quantities: for each name, mean, interval, unit and what was published.
        series: for each rule and name, an array of shape ``(steps, trials)``; NaN where nothing finite came out.
        spent: for each rule, processor seconds of all trials up to each step, shape ``(steps,)``; empty if unknown.
        example_tasks: for each rule that has one, one task before and after adaptation.
    """

    path: Path
    config: dict[str, Any]
    env: dict[str, Any]
    result: dict[str, Any]
    quantities: dict[str, dict[str, Any]]
    series: dict[str, dict[str, np.ndarray]]
    spent: dict[str, np.ndarray] = field(default_factory=dict)
    example_tasks: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """What the experiment shows."""
        return self.config["title"]

    @property
    def axis(self) -> str:
        """What steps count."""
        return self.config.get("axis", "episode")

    @property
    def stride(self) -> int:
        """How far a step goes on the axis."""
        return self.config.get("stride", 1)

    @property
    def places(self) -> list[float] | None:
        """Where steps stand on a logarithmic axis; ``None`` if they just follow each other."""
        return self.config.get("places")

    @property
    def headline(self) -> list[str]:
        """Quantities of every rule that tables show; the first with its interval."""
        return list(self.config.get("headline", ("accuracy", "loss")))

    @property
    def scan(self) -> tuple[str, dict[str, float]] | None:
        """If rules differ in one number: what it is called, and its value for each of them."""
        found = self.config.get("scan")
        return (found["name"], found["values"]) if found else None

    @property
    def findings(self) -> list[str]:
        """What follows from the quantities, in sentences."""
        return self.result.get("findings", [])

    @property
    def averaged(self) -> int:
        """Last steps that a quantity is averaged over."""
        return self.config.get("averaged", LAST)

    @property
    def data(self) -> str:
        """What results are reported on."""
        return self.config["data"]

    @property
    def labels(self) -> dict[str, str]:
        """For each rule that was run, what to call it; :attr:`transfers` has those that were only used elsewhere."""
        known = self.config["rules"]
        return {rule: known[rule]["label"] for rule in self.series if rule in known and "." not in rule}

    @property
    def transfers(self) -> dict[str, dict[str, dict[str, Any]]]:
        """For each rule, and each condition it was used in as it was, the accuracy."""
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for name, quantity in self.quantities.items():
            what, _, study = name.partition(".")
            rule, _, condition = study.partition(".")
            if what == "accuracy" and condition:
                found.setdefault(rule, {})[condition] = quantity
        return found

    def terms(self, rule: str) -> list[PrintedTerm]:
        """How the rule is written."""
        return [PrintedTerm(**term) for term in self.config["rules"][rule]["terms"]]

    def coefficients(self, rule: str) -> list[float] | None:
        """Mean over trials of the learned coefficients, if there is one per term."""
        names = [f"theta{term.name}.{rule}" for term in self.terms(rule)]
        if not names or any(name not in self.quantities for name in names):
            return None
        return [self.quantities[name]["mean"] for name in names]

    def latex(self, rule: str) -> str:
        """The learned rule as LaTeX."""
        return as_latex(self.terms(rule), self.coefficients(rule))

    def equation(self, rule: str) -> str:
        """The learned rule as plain text."""
        return f"{self.labels[rule]}: {as_text(self.terms(rule), self.coefficients(rule))}"

    def equations(self) -> list[str]:
        """The learned rules as plain text, one per line."""
        return [self.equation(rule) for rule in self.labels if self.terms(rule)]


def read(path: Path) -> Recorded:
    """Read a run folder.

    Raises:
        RunFolderError: it is none, or damaged.
    """
    folder = RunFolder.open(path)
    config, rows = folder.config(), folder.rows()
    published = {name: Published(**value) for name, value in config["published"].items()}
    series: dict[str, dict[str, np.ndarray]] = {}
    spent: dict[str, np.ndarray] = {}
    for rule in dict.fromkeys(row["rule"] for row in rows):
        steps = [row for row in rows if row["rule"] == rule and not row.get("final")]
        if steps:
            names = [name for name in steps[0] if name not in NOT_SERIES]
            if all("cpu_seconds" in row for row in steps):
                spent[rule] = np.cumsum([row["cpu_seconds"] for row in steps])
            series[rule] = {name: np.asarray([row[name] for row in steps], float) for name in names}
    result = folder.read_json("result.json") if (path / "result.json").is_file() else {}
    found = [
        quantity.as_json()
        for quantity in quantities(rows, published, config.get("averaged", LAST), config.get("loss_unit", "nats"))
    ]
    example_tasks = [path / "example_tasks" / f"{rule}.json" for rule in config["rules"]]
    return Recorded(
        path=path,
        config=config,
        env=folder.read_json("env.json"),
        result=result,
        quantities={quantity["name"]: quantity for quantity in (*result.get("quantities", ()), *found)},
        series=series,
        spent=spent,
        example_tasks={
            file.stem: folder.read_json(f"example_tasks/{file.name}") for file in example_tasks if file.is_file()
        },
    )
