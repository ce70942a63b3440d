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
from metaplax.reports.panels import as_svg, distinct_label, equation, panels
from metaplax.reports.recorded import Recorded, read
from metaplax.runs import RunFolder

MISSING = {"mean": None, "ci_low": None, "ci_high": None, "n": 0, "published": None}
"""Stands for a quantity that a study has not measured."""


def write(folders: Sequence[Path | str], target: Path | str) -> Path:
    """Draw the figures of one or more runs and write the report.

    If the report of one run goes into its folder, the figures go to ``figures/`` there as well.

    Raises:
        RunFolderError: a folder is not a run folder or damaged, or the report cannot be written.
    """
    target = Path(target)
    runs = [read(folder) for folder in folders]
    drawn = panels(runs)
    svgs = {panel.name: as_svg(panel.figure) for panel in drawn}
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
    unit = f"{run.options.axis}s" if run.options.stride == 1 else "scores"
    return {
        "title": run.title,
        "path": run.path.name,
        **{name: run.config[name] for name in ("experiment", "preset", "source", "data")},
        "unit": unit,
        "averaged": run.options.averaged,
        "headline": [name.replace("_", " ") for name in run.headline],
        "finished": bool(run.result),
        **{name: run.result.get(name) for name in ("seconds", "episodes_per_second")},
        "studies": [_study(run, study, distinct_label(run, study, runs)) for study in run.labels],
        "findings": run.findings,
        "quantities": list(run.quantities.values()),
        "config": json.dumps(run.config["config"], indent=1, ensure_ascii=False),
        "env": json.dumps(run.env, indent=1, ensure_ascii=False),
    }


def _study(run: Recorded, study: str, label: str) -> dict[str, Any]:
    terms = run.terms(study)
    kinds = {f"theta{term.name}" for term in terms}
    coefficients = [
        {**quantity, "name": name.removesuffix(f".{study}").replace("theta", "θ")}
        for name, quantity in run.quantities.items()
        if name.endswith(f".{study}") and name.split(".")[0] in kinds
    ]
    return {
        "label": label,
        "done": len(next(iter(run.series[study].values()))),
        "equation": _equation(run, study) if terms else None,
        "text": run.equation(study) if terms else "",
        "coefficients": coefficients,
        "headline": [run.quantities.get(f"{name}.{study}", MISSING) for name in run.headline],
    }


def _equation(run: Recorded, study: str) -> Markup | None:
    """The rule as a drawing; ``None`` if its LaTeX uses commands that matplotlib's mathtext does not know."""
    try:
        svg = as_svg(equation(run.latex(study)))
    except ValueError:
        return None
    return inline(svg, f"equation-{run.path.name}-{study}")


def inline(svg: str, prefix: str) -> Markup:
    """An SVG element whose ids have a prefix of their own, so that it can share a page with others."""
    safe = re.sub(r"[^A-Za-z0-9_-]", "-", prefix)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{safe}-\1"', svg)
    svg = re.sub(r'(xlink:href|href)="#([^"]+)"', rf'\1="#{safe}-\2"', svg)
    return Markup(re.sub(r"url\(#([^)]+)\)", rf"url(#{safe}-\1)", svg))
