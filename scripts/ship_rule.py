"""Ship a rule that a run has learned as data of the package, from the summary of the run.

Usage: ``.venv/bin/python scripts/ship_rule.py SUMMARY ARM NAME --summary "one sentence"``, for example
``.venv/bin/python scripts/ship_rule.py docs/results/shervani2023-figS2-paper.json f_bio shervani2023/f_bio
--summary "..."``.
"""

import argparse
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metaplax.plasticity.library import LearnedRule

LEARNED = Path(__file__).resolve().parents[1] / "src" / "metaplax" / "plasticity" / "learned"
FEEDBACK = {"bp": "symmetric", "dfa": "direct"}
"""Arms with a feedback of their own; all others have that of the configuration."""


def learned_rule(result: Mapping[str, Any], arm: str, name: str, summary: str, feedback: str | None) -> LearnedRule:
    config = result["config"]
    sharing = config["sharing"]
    if sharing not in ("global", "layer"):
        raise SystemExit(f"a summary holds only means of coefficients that are shared per {sharing}")
    found = {quantity["name"]: quantity for quantity in result["quantities"]}
    pattern = re.compile(rf"theta(\w+?)(?:\.layer(\d+))?\.{re.escape(arm)}")
    parts = [(match, quantity) for key, quantity in found.items() if (match := pattern.fullmatch(key))]
    if not parts:
        raise SystemExit(f"there are no coefficients of {arm!r} in this summary")
    return LearnedRule(
        name=name,
        summary=summary,
        terms=tuple(dict.fromkeys(match[1] for match, _ in parts)),
        coefficients=column(parts, "mean"),
        ci_low=column(parts, "ci_low"),
        ci_high=column(parts, "ci_high"),
        feedback=feedback or FEEDBACK.get(arm, config["feedback"]),
        provenance={
            "experiment": result["experiment"],
            "arm": arm,
            "preset": result["preset"],
            "data": result["data"],
            "trials": config["trials"],
            # Summaries of earlier versions call it episodes.
            "meta_steps": config.get("meta_steps", config.get("episodes")),
            "seed": config["seed"],
            "commit": result["commit"],
            "sizes": config["sizes"],
            "accuracy": {key: found[f"accuracy.{arm}"][key] for key in ("mean", "ci_low", "ci_high")},
        },
        sharing=sharing,
    )


def column(parts: list[tuple[re.Match[str], Mapping[str, Any]]], key: str) -> tuple:
    """One number per term, or one row of them per layer."""
    layers: dict[int, list[float]] = {}
    for match, quantity in parts:
        layers.setdefault(int(match[2] or 0), []).append(quantity[key])
    rows = tuple(tuple(layers[layer]) for layer in sorted(layers))
    return rows[0] if list(layers) == [0] else rows


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Ship a rule that a run has learned.")
    parser.add_argument("result", type=Path, help="summary of the run, from docs/results")
    parser.add_argument("arm", help="which rule of the run, e.g. f_bio")
    parser.add_argument("name", help="what it is to be loaded by, e.g. shervani2023/f_bio")
    parser.add_argument("--summary", required=True, help="one sentence about it")
    parser.add_argument("--feedback", help="pathway it was learned with, if not the one of the configuration")
    parser.add_argument("--out", type=Path, default=LEARNED, help="folder of the shipped rules")
    given = parser.parse_args(arguments)
    result = json.loads(given.result.read_text(encoding="utf-8"))
    learned = learned_rule(result, given.arm, given.name, given.summary, given.feedback)
    target = given.out / f"{given.name}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(learned.as_json(), encoding="utf-8")
    print(learned)


if __name__ == "__main__":
    main()
