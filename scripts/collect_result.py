"""Keep the result of a run under ``docs/results``: configuration, environment, quantities and figures.

Usage: ``.venv/bin/python scripts/collect_result.py [--together | --added] [--name NAME] RUN_FOLDER ...``,
``--together`` for runs of one experiment and preset with different arms, and ``--added`` to add such arms to the
summary that is kept already, whose figures stay as they are. ``make reproduce`` does all of this by itself.
"""

import argparse
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path

from PIL import Image

from metaplax import reports
from metaplax.reports.panels import Panel, panels
from metaplax.reports.recorded import Recorded
from metaplax.runs import RunFolderError
from metaplax.runs.schema import read_object

SEVERAL = ("command", "commit", "config", "seconds", "episodes_per_second")
"""What is kept of each run that is put together with others."""

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"


def summary(folder: Path) -> dict:
    """What is kept of one run."""
    run = reports.read(folder)
    result, config, env = run.result, run.config, run.env
    return {
        "command": " ".join(without_folders(env["command"])),
        "commit": env["commit"],
        "python": env["python"],
        "cores": env["cores"],
        "devices": env["devices"],
        "libraries": env["libraries"],
        "config": config["config"],
        "intervals": "98 %",
        **result,
    }


def both(one: dict, other: dict) -> dict:
    """Summaries of two runs as one: what they share once, their commands, commits and seconds one after the other."""
    require_alike(one, other, "experiment", "preset", "data", "python", "cores", "libraries", "intervals")
    require_alike(protocol(one), protocol(other), *protocol(one))
    twice = {quantity["name"] for quantity in one["quantities"]} & {
        quantity["name"] for quantity in other["quantities"]
    }
    if twice:
        raise SystemExit(f"both runs have {min(twice)}")
    lists = {name: one[name] + other[name] for name in ("quantities", "findings")}
    lists["searched"] = {**one.get("searched", {}), **other.get("searched", {})}
    several = {name: [*as_list(one[name]), *as_list(other[name])] for name in SEVERAL}
    return {**one, **several, **lists, "finished": max(one["finished"], other["finished"])}


def both_recorded(one: Recorded, other: Recorded) -> Recorded:
    """What two runs recorded, for figures that show them together."""
    require_alike(one.config, other.config, "experiment", "preset")
    return replace(
        one,
        config={**one.config, "studies": {**one.config["studies"], **other.config["studies"]}},
        quantities={**one.quantities, **other.quantities},
        series={**one.series, **other.series},
        taken={**one.taken, **other.taken},
        spent={**one.spent, **other.spent},
        example_tasks={**one.example_tasks, **other.example_tasks},
    )


def require_alike(one: dict, other: dict, *names: str) -> None:
    for name in names:
        if one[name] != other[name]:
            raise SystemExit(f"runs of {one[name]} and {other[name]} are not put together")


def protocol(found: dict) -> dict:
    """The configuration, but for which arms are run."""
    return {name: value for name, value in as_list(found["config"])[0].items() if name not in ("arms", "players")}


def as_list(value: object) -> list:
    return value if isinstance(value, list) else [value]


def place_of(found: dict, name: str | None = None) -> Path:
    """Where a summary is kept."""
    usual = f"{found['experiment'].replace('/', '-')}-{found['preset']}"
    return RESULTS / f"{name or usual}.json"


def write(found: dict, name: str | None = None) -> Path:
    """Write a summary."""
    place = place_of(found, name)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return place


def draw(found: dict, run: Recorded, name: str | None = None) -> list[Path]:
    """Write figures as small PNG files."""
    figures = RESULTS / "figures"
    return [png(panel, figures / f"{place_of(found, name).stem}-{panel.name}.png") for panel in panels([run])]


def keep(folders: Sequence[Path], *, together: bool, name: str | None = None) -> list[Path]:
    """Write the summaries of runs, or one of all of them, with their figures; returns all files."""
    runs = [(summary(folder), reports.read(folder)) for folder in folders]
    if together:
        summaries, recorded = zip(*runs, strict=True)
        runs = [(reduce(both, summaries), reduce(both_recorded, recorded))]
    return [file for found, run in runs for file in (write(found, name), *draw(found, run, name))]


def with_kept(found: dict, name: str | None = None) -> dict:
    """The summary that is kept already, and another one."""
    try:
        kept = read_object(place_of(found, name))
    except RunFolderError as error:
        raise SystemExit(f"there is nothing to add to: {error}") from None
    return both(kept, found)


def png(panel: Panel, target: Path) -> Path:
    """A figure in 256 colours, enough for lines and their overlapping bands."""
    drawn = io.BytesIO()
    panel.figure.savefig(drawn, dpi=80, format="png", bbox_inches="tight", pad_inches=0.05)
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.open(drawn).convert("RGB").quantize(256).save(target, optimize=True)
    return target


def without_folders(command: list[str]) -> list[str]:
    """The command without where this machine keeps its runs."""
    kept, skip = [], False
    for word in command:
        if skip or word == "--out":
            skip = not skip
            continue
        kept.append(Path(word).name if Path(word).is_absolute() else word)
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--together", action="store_true", help="put the runs together")
    way.add_argument("--added", action="store_true", help="add the runs to the summary that is kept")
    parser.add_argument("--name", help="name of the summary, by default those of the experiment and the preset")
    parser.add_argument("folders", nargs="+", type=Path)
    asked = parser.parse_args()
    if asked.added:
        print(write(with_kept(reduce(both, map(summary, asked.folders)), asked.name), asked.name))
        return
    print(*keep(asked.folders, together=asked.together, name=asked.name), sep="\n")


if __name__ == "__main__":
    main()
