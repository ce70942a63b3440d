"""The one-file HTML report."""

import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup
from matplotlib.figure import Figure

from metaplax._version import __version__
from metaplax.analysis import mean_and_interval
from metaplax.plasticity import as_latex
from metaplax.reports.comparison import against_best, verdicts
from metaplax.reports.hover import DARK, hover_values, themed
from metaplax.reports.panels import as_svg, distinct_label, equation, panels
from metaplax.reports.pooling import pooled
from metaplax.reports.recorded import Recorded, read
from metaplax.runs import RunFolder

WIDE = 8.0
"""Width of a figure in inches beyond which a narrow page scrolls it, since its letters would be too small."""


def write(folders: Sequence[Path | str | Recorded], target: Path | str) -> Path:
    """Draw the figures of one or more runs, which may have been read already, and write the report.

    The trials of runs that differ in their seeds only are pooled.

    If the report of one run goes into its folder, the figures go to ``figures/`` there as well.

    Raises:
        RunFolderError: a folder is not a run folder or damaged, or the report cannot be written.
    """
    target = Path(target)
    runs = pooled([folder if isinstance(folder, Recorded) else read(folder) for folder in folders])
    figures = [drawn(it.name, it.caption, it.figure) for it in panels(runs)]
    if len(folders) == 1 and target.parent.absolute() == runs[0].path.absolute():
        for figure in figures:
            RunFolder(runs[0].path).write_text(f"figures/{figure['name']}.svg", figure["svg"])
    page = template("report.html.jinja").render(
        runs=[(run, _studies(run, runs)) for run in runs],
        verdicts=[verdict for run in runs for verdict in verdicts(run) or _alone(run)],
        figures=figures,
        version=__version__,
        written=time.strftime("%Y-%m-%d %H:%M"),
    )
    RunFolder(target.parent).write_text(target.name, page)
    return target


def drawn(name: str, caption: str, figure: Figure) -> dict[str, Any]:
    """A figure as templates take it: its name, caption, drawing, and curves for hovering."""
    curves = hover_values(figure)
    return {
        "name": name,
        "caption": caption,
        "svg": as_svg(figure),
        "curves": curves,
        "wide": figure.get_figwidth() > WIDE,
    }


def _alone(run: Recorded) -> list[str]:
    """What a run with a single arm measured, since there is nothing to compare it with."""
    if len(run.labels) != 1 or not run.headline:
        return []
    ((study, label),), what = run.labels.items(), run.headline[0]
    q = run.quantities[f"{what}.{study}"]
    return [f"{label}: {what.replace('_', ' ')} {mean_and_interval(q['mean'], q['ci_low'], q['ci_high'], q['n'])}"]


def template(name: str) -> Template:
    """A template of this package, with the filters that pages use."""
    environment = Environment(trim_blocks=True, lstrip_blocks=True, autoescape=True, undefined=StrictUndefined)
    environment.loader = PackageLoader("metaplax.reports")
    environment.filters |= {
        "number": lambda value: "–" if value is None else f"{value:.4g}",
        "json": lambda value: json.dumps(value, indent=1, ensure_ascii=False),
        "compact": lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False),
        "inline": inline,
        "with_interval": lambda q: mean_and_interval(q["mean"], q["ci_low"], q["ci_high"], q["n"]),
    }
    environment.globals["dark_colours"] = DARK
    return environment.get_template(name)


def _studies(run: Recorded, runs: Sequence[Recorded]) -> list[dict[str, Any]]:
    behind = {study: difference for study, (_, difference) in against_best(run).items()}
    return [_study(run, study, runs) | {"behind": behind.get(study)} for study in run.labels]


def _study(run: Recorded, study: str, runs: Sequence[Recorded]) -> dict[str, Any]:
    terms = {f"theta{term.name}" for term in run.terms(study)}
    of_study = [name for name in run.quantities if name.endswith(f".{study}")]
    measured = {name.removesuffix(f".{study}"): run.quantities[name] for name in of_study}
    coefficients = [name for name in measured if name.split(".")[0] in terms]
    return {
        "label": distinct_label(run, study, runs),
        "done": int(run.taken[study][-1]),
        "equation": _equation(run, study) if terms else None,
        "text": run.equation(study) if terms else "",
        "measured": measured,
        "coefficients": {name.replace("theta", "θ"): measured[name] for name in coefficients},
    }


def _equation(run: Recorded, study: str) -> list[Markup] | None:
    """The rule as drawings of its terms, between which a narrow page breaks the line.

    ``None`` if its LaTeX uses commands that matplotlib's mathtext does not know.
    """
    pieces = terms_apart(as_latex(run.terms(study), run.coefficients(study)))
    try:
        drawings = [as_svg(equation(piece)) for piece in pieces]
    except ValueError:
        return None
    return [inline(svg, f"equation-{run.path.name}-{study}-{number}") for number, svg in enumerate(drawings)]


def terms_apart(latex: str) -> list[str]:
    """The terms of a sum, each with the sign before it: what is in brackets stays whole."""
    pieces, depth = [""], 0
    for part in re.split(r"([(\[{)\]}]|(?<= )[+-](?= ))", latex):
        depth += (part in ("(", "[", "{")) - (part in (")", "]", "}"))
        if part in ("+", "-") and depth == 0:
            pieces.append("")
        pieces[-1] += part
    return [piece.strip() for piece in pieces]


def inline(svg: str, prefix: str) -> Markup:
    """An SVG element in the colours of the page, whose ids have a prefix of their own to share it with others."""
    svg = themed(svg)
    safe = re.sub(r"[^A-Za-z0-9_-]", "-", prefix)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{safe}-\1"', svg)
    svg = re.sub(r'(xlink:href|href)="#([^"]+)"', rf'\1="#{safe}-\2"', svg)
    return Markup(re.sub(r"url\(#([^)]+)\)", rf"url(#{safe}-\1)", svg))
