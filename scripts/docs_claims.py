"""Claims of the papers: published number, ours, and a verdict that the kept numbers carry.

``docs/reproduction/claims.toml`` holds them, a list for every paper. A claim has a ``claim``, what was ``published``
and where (``source``), a ``verdict``, the reason ``why``, and ``checks``, which the numbers pass, miss or contradict:

- ``{result, quantity, value, margin}``: the interval lies within ``margin`` of the published ``value``.
- ``{result, published, margin}``: so do the means of all quantities whose names begin so, with their published values.
- ``{result, larger, smaller}``: the first is larger; from paired differences where values of trials are kept, else from
  intervals that are apart.
- ``{result, quantity, above}`` or ``below``: the interval lies on that side of a number.
- ``{result, quantity, holds}``: the interval must hold a number, which shows nothing more than that it may be so.
- ``{result, first, second, margin}``: two quantities are equal within a margin. Nothing that was run before the margin
  was fixed (``margins_fixed``) passes.

Fewer than five trials cannot pass. A claim is "reproduced" if all checks pass, "contradicted" if the numbers show the
opposite of one, else "weaker"; it may be called worse than its checks allow, never better. A quantity may be written
``RESULT:QUANTITY``. A ``headline`` puts a claim in words that need no others around them, for the table of the README.
"""

import math
import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from metaplax.analysis.differences import FEWEST
from scripts.kept_results import ROOT, SpecError, difference, find, kept, with_interval

FILE = ROOT / "docs" / "reproduction" / "claims.toml"
VERDICTS = ("reproduced", "weaker", "contradicted", "not tried")
"""From best to worst; the last one is of claims without checks."""
NEEDED = {"claim", "published", "source", "verdict"}
Quantity = Mapping[str, Any]


@cache
def claims() -> dict[str, Any]:
    """The content of the file."""
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


def decided(claim: Mapping[str, Any]) -> str:
    """The best verdict that the checks of a claim allow."""
    outcomes = [outcome(check) for check in claim.get("checks", ())]
    return max(outcomes, key=VERDICTS.index) if outcomes else VERDICTS[-1]


def faults(claim: Mapping[str, Any]) -> list[str]:
    """What is wrong with a claim, in sentences."""
    missing = NEEDED - claim.keys()
    if missing:
        return [f"it has no {', '.join(sorted(missing))}"]
    stated, best, found = claim["verdict"], decided(claim), []
    if stated not in VERDICTS:
        return [f"{stated!r} is none of {', '.join(VERDICTS)}"]
    if (stated == "not tried") != (best == "not tried"):
        found.append("claims with checks are tried, and those without are not")
    elif VERDICTS.index(stated) < VERDICTS.index(best):
        found.append(f"it is called {stated}, and its numbers say {best}")
    if stated != "reproduced" and not claim.get("why"):
        found.append(f"it does not say why it is {stated}")
    return found


def outcome(check: Mapping[str, Any]) -> str:
    """What the numbers say of one check."""
    kinds: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "published": _as_published, "larger": _ordered, "value": _near, "first": _equal, "above": _beyond,
        "below": _beyond, "holds": _holds,
    }  # fmt: skip
    return next(decide(check) for kind, decide in kinds.items() if kind in check)


def _quantity(check: Mapping[str, Any], name: str = "quantity") -> Quantity:
    return find(check[name], [kept(check["result"])] if "result" in check else [])[1]


def _ends(quantity: Quantity) -> tuple[float, float]:
    """The ends of its interval; of a single trial the whole line."""
    if quantity["n"] < FEWEST or quantity["ci_low"] is None:
        return -math.inf, math.inf
    return quantity["ci_low"], quantity["ci_high"]


def _within(quantity: Quantity, value: float, margin: float) -> bool:
    low, high = _ends(quantity)
    return value - margin <= low and high <= value + margin


def _near(check: Mapping[str, Any]) -> str:
    return "reproduced" if _within(_quantity(check), check["value"], check["margin"]) else "weaker"


def _as_published(check: Mapping[str, Any]) -> str:
    near = [abs(it["mean"] - it["published"]) <= check["margin"] for it in _published(check)]
    return "reproduced" if all(near) else "weaker"


def _published(check: Mapping[str, Any]) -> list[Quantity]:
    found = kept(check["result"]).quantities.items()
    them = [it for name, it in found if name.startswith(check["published"]) and it["published"] is not None]
    if not them:
        raise SpecError(f"{check['result']} has no published {check['published']}")
    return them


def _ordered(check: Mapping[str, Any]) -> str:
    results = [kept(check["result"])] if "result" in check else []
    larger, smaller = (find(check[name], results) for name in ("larger", "smaller"))
    known = difference(larger, smaller)
    if known is not None:
        return "weaker" if not known.shown else "reproduced" if known.mean > 0 else "contradicted"
    (low, high), (other_low, other_high) = _ends(larger[1]), _ends(smaller[1])
    return "reproduced" if low > other_high else "contradicted" if high < other_low else "weaker"


def _equal(check: Mapping[str, Any]) -> str:
    results = [kept(check["result"])] if "result" in check else []
    first, second = (find(check[name], results) for name in ("first", "second"))
    before = any(one.finished <= str(claims()["margins_fixed"]) for one, _ in (first, second))
    known = difference(first, second)
    near = known is not None and known.n >= FEWEST and max(-known.ci_low, known.ci_high) <= check["margin"]
    return "reproduced" if near and not before else "weaker"


def _beyond(check: Mapping[str, Any]) -> str:
    low, high = _ends(_quantity(check))
    if "above" in check:
        return "reproduced" if low > check["above"] else "contradicted" if high < check["above"] else "weaker"
    return "reproduced" if high < check["below"] else "contradicted" if low > check["below"] else "weaker"


def _holds(check: Mapping[str, Any]) -> str:
    low, high = _ends(_quantity(check))
    return "weaker" if low <= check["holds"] <= high else "contradicted"


def ours(check: Mapping[str, Any]) -> str:
    """What was measured, in words."""
    form, label = check.get("format", ""), check.get("label", "")
    if "published" in check:
        them = _published(check)
        near = [abs(it["mean"] - it["published"]) for it in them]
        text = f"{sum(each <= check['margin'] for each in near)} of {len(them)} within {check['margin']:g}, largest"
        text = f"{text} difference {max(near):.1f} (n = {min(it['n'] for it in them)})"
    else:
        pair = next(([a, b] for a, b in (("larger", "smaller"), ("first", "second")) if a in check), ["quantity"])
        them = [_quantity(check, name) for name in pair]
        shown = list(reversed(them)) if check.get("smaller_first") else them
        text = f"{' against '.join(with_interval(it, form) for it in shown)} (n = {min(it['n'] for it in them)})"
    return f"{label} {text}".strip()


PAPERS = {
    "shervani2023": "Shervani-Tabar & Rosenbaum (2023)",
    "lindsey2020": "Lindsey & Litwin-Kumar (2020)",
    "zucchet2022": "Zucchet et al. (2022)",
    "mehta2024": "Mehta et al. (2024)",
}


def headlines() -> str:
    """The claims of all papers that have a headline as a table, and the number of all verdicts."""
    lines = ["| paper | claim | ours, 98 % interval | verdict | caveats |", "|---|---|---|---|---|"]
    for paper, name in PAPERS.items():
        for claim in (one for one in claims()[paper] if "headline" in one):
            caveats = claim.get("why", "").replace(" (below)", "")
            lines.append(f"| {name} | {claim['headline']} | {_measured(claim)} | **{claim['verdict']}** | {caveats} |")
    verdicts = [claim["verdict"] for paper in PAPERS for claim in claims()[paper]]
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in VERDICTS)
    return "\n".join([*(line.replace("|  |", "| |") for line in lines), "", f"*All {len(verdicts)} claims: {counts}.*"])


def _measured(claim: Mapping[str, Any]) -> str:
    return "; ".join(ours(check) for check in claim.get("checks", ()) if not check.get("hidden"))


def table(paper: str, page: Path) -> str:
    """The claims of a paper as a table; those with a headline for ``headlines``."""
    del page
    if paper == "headlines":
        return headlines()
    lines = ["| claim | published (source) | ours, 98 % interval | verdict | why |", "|---|---|---|---|---|"]
    for claim in claims()[paper]:
        told = f"{claim['published']} ({claim['source']})"
        cells = [claim["claim"], told, _measured(claim), f"**{claim['verdict']}**", claim.get("why", "")]
        lines.append(f"| {' | '.join(cells)} |".replace("|  |", "| |"))
    return "\n".join(lines)
