"""Translates run folders that earlier versions wrote, whose files used other names, to the names of today."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from metaplax.runs.descriptions import StudyDescription

ROW_KEYS = {"rule": "study", "episodes": "meta_batch"}
FIELDS = {"episodes": "meta_steps"}
EXAMPLE_TASK = {"places": "x_values", "support_places": "support_x_values"}
OPTIONS = {"places": "x_values"} | {
    name: name for name in ("averaged", "axis", "stride", "headline", "loss_unit", "by_cost")
}


def translate_row(row: dict[str, Any]) -> dict[str, Any]:
    """One line of ``metrics.jsonl``; lines with today's names stay as they are."""
    return {ROW_KEYS.get(name, name): value for name, value in row.items()} if "rule" in row else row


def translate_example_task(example: dict[str, Any]) -> dict[str, Any]:
    """One file of ``example_tasks``, a folder that was called ``portraits``."""
    return {EXAMPLE_TASK.get(name, name): value for name, value in example.items()}


def translate_config(config: dict[str, Any]) -> dict[str, Any]:
    """The content of ``config.json``; one with today's names stays as it is."""
    if "rules" not in config:
        return config
    scan = config.get("scan") or {"name": "", "values": {}}
    options = {name: config[old] for old, name in OPTIONS.items() if old in config}
    studies = {}
    for name, entry in config["rules"].items():
        described = _describe(name, config["rules"], scan["values"].get(name), bool(options.get("x_values")))
        studies[name] = {**asdict(described), "label": described.label, "terms": entry["terms"]}
    return {
        **{name: value for name, value in config.items() if name not in ("rules", "scan", *OPTIONS)},
        "report": {**options, "scanned": scan["name"]},
        "studies": studies,
        "config": {FIELDS.get(name, name): value for name, value in config["config"].items()},
    }


def _describe(
    name: str, entries: Mapping[str, Mapping[str, Any]], scanned: float | None, has_problems: bool
) -> StudyDescription:
    """A study as far as its name and its label tell; labels were ``arm, condition`` or ``problem: arm, missed by``."""
    label = entries[name]["label"]
    arm, _, condition = name.partition(".")
    if condition:
        arm_label = entries[arm]["label"] if arm in entries else label.rpartition(", ")[0] or arm
        return StudyDescription(arm, condition, arm_label, label.removeprefix(f"{arm_label}, "))
    if not has_problems:
        return StudyDescription(arm, "", label, scanned=scanned)
    problem, _, rest = label.partition(": ")
    estimator, missed, distance = rest.partition(", missed by ")
    return StudyDescription(arm, "", estimator, problem, (missed + distance).removeprefix(", "))
