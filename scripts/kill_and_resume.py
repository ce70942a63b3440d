"""Kill a run at random moments, resume it, and compare with an unbroken run bit for bit.

Run with ``make kill-test``. Everything but wall-clock seconds has to be equal: every row of the metrics, the
coefficients after the last episode and the quantities of the result.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ARGUMENTS = (
    "run", "shervani2023/fig3", "--data", "glyphs", "--meta-steps", "150", "--trials", "2",
    "--sizes", "784", "24", "16", "47", "--shots", "8", "--queries", "4", "--checkpoint-seconds", "0.2",
)  # fmt: skip
CLOCKS = {"seconds", "cpu_seconds", "episodes_per_second", "finished"}


def start(*arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "metaplax", *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen) -> None:
    _, said = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"the run failed with exit code {process.returncode}: {said}")


def outcome(out: Path) -> dict:
    (folder,) = out.iterdir()
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    result = json.loads((folder / "result.json").read_text())
    clockless = lambda d: {k: v for k, v in d.items() if k not in CLOCKS}  # noqa: E731
    measured = [q for q in result.pop("quantities") if not q["name"].startswith("cpu_seconds")]
    return {"rows": [clockless(row) for row in rows], "result": clockless(result), "quantities": measured}


def unbroken(folder: Path) -> tuple[dict, float]:
    began = time.monotonic()
    finish(start(*ARGUMENTS, "--out", str(folder / "unbroken")))
    return outcome(folder / "unbroken"), time.monotonic() - began


def rows_in(out: Path) -> int:
    files = list(out.glob("*/metrics.jsonl"))
    return files[0].read_text().count("\n") if files else 0


def wait_for(process: subprocess.Popen, out: Path, rows: int) -> None:
    while rows_in(out) < rows and process.poll() is None:
        time.sleep(0.002)


def broken(out: Path, rows: int, delay: float) -> tuple[dict, str]:
    """Start a run, kill it ``delay`` seconds after its row number ``rows``, resume it; also say where it was killed."""
    process = start(*ARGUMENTS, "--out", str(out))
    wait_for(process, out, rows)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    folders = list(out.iterdir()) if out.exists() else []
    if not folders or not (folders[0] / "config.json").exists():
        # Killed before there was anything to resume: what a user would do is to start again.
        for folder in folders:
            folder.rename(out.parent / f"{out.name}-empty")
        finish(start(*ARGUMENTS, "--out", str(out)))
        return outcome(out), "before the run folder was there"
    done = rows_in(out)
    saved = len(list(folders[0].glob("checkpoints/*/*/checksums.json")))
    finish(start("resume", str(folders[0])))
    return outcome(out), f"after {done} rows with {saved} checkpoints"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    generator = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        expected, seconds = unbroken(folder)
        print(f"unbroken: {len(expected['rows'])} rows, {seconds:.1f} s", flush=True)
        for attempt in range(1, asked.times + 1):
            # Most kills fall into training; one in five at any time at all, start-up and report included.
            anywhere = attempt % 5 == 0
            rows = 0 if anywhere else generator.randint(1, len(expected["rows"]))
            delay = generator.uniform(0.0, seconds) if anywhere else generator.uniform(0.0, 0.3)
            actual, where = broken(folder / f"broken{attempt}", rows, delay)
            equal = actual == expected
            print(f"{attempt:2d}: killed {where}: {'equal' if equal else 'NOT EQUAL'}", flush=True)
            if not equal:
                return 1
    print(f"{asked.times} of {asked.times} resumed runs are equal to the unbroken one")
    return 0


if __name__ == "__main__":
    sys.exit(main())
