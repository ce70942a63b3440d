"""The one-file HTML report."""

import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from metaplax._version import __version__
from metaplax.reports.figures import as_svg, distinct_label, equation, panels
from metaplax.reports.recorded import Recorded, read
from metaplax.runs import RunFolder


def write(folders: Sequence[Path], target: Path) -> Path:
    """Draw the figures of one or more runs and write the report.

    If it goes into a run folder, the figures go to ``figures/`` there as well.

    Raises:
        RunFolderError: a folder is none of ours or damaged, or the report cannot be written.
    """
    runs = [read(folder) for folder in folders]
    drawn = panels(runs)
    svgs = {panel.name: panel.svg() for panel in drawn}
    if len(runs) == 1 and target.parent.absolute() == runs[0].path.absolute():
        for name, svg in svgs.items():
            RunFolder(runs[0].path).write_text(f"figures/{name}.svg", svg)
    page = (
        _environment()
        .get_template("report.html.jinja")
        .render(
            title=" · ".join(dict.fromkeys(run.title for run in runs)),
            runs=[_run(run, runs) for run in runs],
            figures=[
                {"name": panel.name, "caption": panel.caption, "svg": inline(svgs[panel.name], panel.name)}
                for panel in drawn
            ],
            version=__version__,
            written=time.strftime("%Y-%m-%d %H:%M"),
        )
    )
    RunFolder(target.parent).write_text(target.name, page)
    return target


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("metaplax.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = lambda value: "–" if value is None else f"{value:.4g}"
    return environment


def _run(run: Recorded, runs: Sequence[Recorded]) -> dict[str, Any]:
    done = {rule: len(next(iter(series.values()))) for rule, series in run.series.items()}
    return {
        "title": run.title,
        "path": run.path.name,
        "experiment": run.config["experiment"],
        "preset": run.config["preset"],
        "source": run.config["source"],
        "data": run.data,
        "averaged": f"{run.averaged} {'episodes' if run.stride == 1 else 'scores'}",
        "finished": bool(run.result),
        "seconds": run.result.get("seconds"),
        "episodes_per_second": run.result.get("episodes_per_second"),
        "rules": [_rule(run, rule, distinct_label(run, rule, runs), done[rule]) for rule in run.labels],
        "findings": run.findings,
        "quantities": list(run.quantities.values()),
        "config": json.dumps(run.config["config"], indent=1, ensure_ascii=False),
        "env": json.dumps(run.env, indent=1, ensure_ascii=False),
    }


def _rule(run: Recorded, rule: str, label: str, done: int) -> dict[str, Any]:
    terms = run.terms(rule)
    names = {f"theta{term.name}" for term in terms}
    coefficients = [
        quantity
        for name, quantity in run.quantities.items()
        if name.endswith(f".{rule}") and name.split(".")[0] in names
    ]
    return {
        "label": label,
        "done": done,
        "equation": _equation(run, rule) if terms else None,
        "text": run.equation(rule) if terms else "",
        "coefficients": coefficients,
        "headline": [
            run.quantities[f"{name}.{rule}"] for name in ("accuracy", "loss") if f"{name}.{rule}" in run.quantities
        ],
    }


def _equation(run: Recorded, rule: str) -> Markup | None:
    """The rule as a drawing; ``None`` if its LaTeX uses what matplotlib's mathtext does not know."""
    try:
        svg = as_svg(equation(run.latex(rule)))
    except ValueError:
        return None
    return inline(svg, f"equation-{run.path.name}-{rule}")


def inline(svg: str, prefix: str) -> Markup:
    """An SVG that can share a page with others: its ids get a prefix of their own."""
    safe = re.sub(r"[^A-Za-z0-9_-]", "-", prefix)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{safe}-\1"', svg)
    svg = re.sub(r'(xlink:href|href)="#([^"]+)"', rf'\1="#{safe}-\2"', svg)
    return Markup(re.sub(r"url\(#([^)]+)\)", rf"url(#{safe}-\1)", svg))
