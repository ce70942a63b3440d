"""Keep the result of a run under ``docs/results``: what was asked for, where, what came out, and its figures.

Usage: ``.venv/bin/python scripts/collect_result.py RUN_FOLDER ...``
"""

import io
import json
import sys
from pathlib import Path

from PIL import Image

from metaplax import reports
from metaplax.reports.figures import Panel, panels

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"


def collect(folder: Path) -> Path:
    result, config, env = (json.loads((folder / f"{name}.json").read_text()) for name in ("result", "config", "env"))
    kept = {
        "command": " ".join(without_folders(env["command"])),
        "commit": env["commit"],
        "python": env["python"],
        "cores": env["cores"],
        "libraries": env["libraries"],
        "config": config["config"],
        **result,
    }
    target = RESULTS / f"{result['experiment'].replace('/', '-')}-{result['preset']}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(kept, indent=1, ensure_ascii=False)
    target.write_text(text + "\n", encoding="utf-8")
    return target


def draw(folder: Path) -> list[Path]:
    """The figures of a run as small PNG files."""
    run = reports.read(folder)
    name = f"{run.config['experiment'].replace('/', '-')}-{run.config['preset']}"
    return [png(panel, RESULTS / "figures" / f"{name}-{panel.name}.png") for panel in panels([run])]


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


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(collect(Path(name)), *draw(Path(name)), sep="\n")
