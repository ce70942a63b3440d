"""Kill runs of all kinds of studies at random moments, resume them, and compare with unbroken runs bit for bit.

Run with ``make kill-test``. Everything but wall-clock seconds has to be equal: every row of the metrics, the
meta-parameters after the last step and the quantities of the result.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

SMALL = ("--sizes", "784", "24", "16", "47", "--shots", "8", "--queries", "4")
SMOKE = ("--preset", "smoke")
PERSISTENT = f"{Path(__file__).with_name('persistent_es.py')}:Windows"
KINDS = {
    "meta-training": ("shervani2023/fig3", "--data", "glyphs", "--meta-steps", "150", "--trials", "2", *SMALL),
    "persistent ES": (PERSISTENT, "--meta-steps", "60", "--trials", "2", *SMALL),
    "online learning": ("shervani2023/fig1", "--data", "glyphs", *SMOKE),
    "estimators": ("compare-estimators", *SMOKE, "--meta-steps", "6", "--estimators", "checkpointed", "truncated"),
    "streams": ("lindsey2020/regression-iid", *SMOKE),
    "interference": ("lindsey2020/interference", "--data", "glyphs", *SMOKE),
    "gradient error": ("zucchet2022/error-bound", *SMOKE),
    "hyperparameters": ("zucchet2022/metaopt-mnist", "--data", "glyphs", *SMOKE),
    "spiking": ("zucchet2022/spiking-sinusoid", *SMOKE),
    "few shots": ("zucchet2022/fewshot-omniglot", "--data", "glyphs", *SMOKE, "--arms", "fomaml", "scratch"),
    "wheel bandit": ("zucchet2022/wheel-bandit", *SMOKE, "--players", "maml", "lin_greedy", "--deltas", "0.5"),
    "reward": ("miconi2017/dnms", *SMOKE, "--examples", "80"),
    "meta-learned reward": ("maoutsa2025/dnms", *SMOKE),
    "familiarity": ("tyulmankov2022/curriculum", *SMOKE, "--updates", "200"),
    "recordings": ("mehta2024/oja", *SMOKE),
}
"""A small run of every kind of study, on data that are built in."""
SWEEP = ("quickstart", *SMOKE, "--l1", "0", "1", "--seeds", "2")
"""A sweep of four runs, which is killed with its workers."""
SWEEPS = "sweep"
CLOCKS = {"seconds", "cpu_seconds", "cpu_seconds_per_episode", "episodes_per_second", "finished", "checksum"}
TIMED = ("cpu_seconds", "loss_at_equal_cost")
"""What depends on the time that a run took: entries of files, and quantities."""


def start(*arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "metaplax", *arguments]
    # In a group of its own, so that workers of a sweep can be killed with it.
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def finish(process: subprocess.Popen) -> None:
    _, said = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"the run failed with exit code {process.returncode}: {said}")


def outcome(out: Path, name: str = "*") -> dict:
    """What a run has found, without what depends on the clock; rows in the order of studies and steps."""
    if (out / SWEEPS).is_dir():
        runs = sorted(path.parent for path in (out / SWEEPS).glob("*/metrics.jsonl"))
        return {"rows": [row for run in runs for row in outcome(run.parent, run.name)["rows"]]} | {
            run.name: outcome(run.parent, run.name) for run in runs
        }
    (folder,) = out.glob(name)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    rows.sort(key=lambda row: (row["study"], row["step"]))
    result = json.loads((folder / "result.json").read_text())
    clockless = lambda d: {k: v for k, v in d.items() if k not in CLOCKS}  # noqa: E731
    measured = [q for q in result.pop("quantities") if not q["name"].startswith(TIMED)]
    return {"rows": [clockless(row) for row in rows], "result": clockless(result), "quantities": measured}


def arguments(kind: str, out: Path) -> tuple[str, ...]:
    if kind == SWEEPS:
        return ("sweep", *SWEEP, "--checkpoint-seconds", "0.2", "--out", str(out / SWEEPS))
    return ("run", *KINDS[kind], "--checkpoint-seconds", "0.2", "--out", str(out))


def unbroken(kind: str, out: Path) -> tuple[dict, float]:
    began = time.monotonic()
    finish(start(*arguments(kind, out)))
    return outcome(out), time.monotonic() - began


def rows_in(out: Path) -> int:
    return sum(file.read_text().count("\n") for file in [*out.glob("*/metrics.jsonl"), *out.glob("*/*/metrics.jsonl")])


def wait_for(process: subprocess.Popen, out: Path, rows: int) -> None:
    while rows_in(out) < rows and process.poll() is None:
        time.sleep(0.002)


def broken(kind: str, out: Path, rows: int, delay: float) -> tuple[dict, str]:
    """Start a run, kill it ``delay`` seconds after its row number ``rows``, resume it; also say where it was killed."""
    process = start(*arguments(kind, out))
    wait_for(process, out, rows)
    time.sleep(delay)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    folders = list(out.iterdir()) if out.exists() else []
    if not folders or not any((folders[0] / plan).exists() for plan in ("config.json", "sweep.json")):
        # Killed before there was anything to resume: what a user would do is to start again.
        for folder in folders:
            folder.rename(out.parent / f"{out.name}-empty")
        finish(start(*arguments(kind, out)))
        return outcome(out), "before the run folder was there"
    done = rows_in(out)
    saved = len(list(folders[0].rglob("checksums.json")))
    finish(start(*(("sweep",) if kind == SWEEPS else ()), "resume", str(folders[0])))
    return outcome(out), f"after {done} rows with {saved} checkpoints"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20, help="kills in all, of one kind after the other")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=[*KINDS, SWEEPS], default=["meta-training"], metavar="KIND")
    parser.add_argument(
        "--all", action="store_const", dest="kinds", const=[*KINDS, SWEEPS], help="all kinds of studies"
    )
    asked = parser.parse_args()
    generator = random.Random(asked.seed)
    expected, different = {}, 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for attempt in range(1, asked.times + 1):
            kind = asked.kinds[(attempt - 1) % len(asked.kinds)]
            if kind not in expected:
                expected[kind] = unbroken(kind, folder / kind)
                print(f"unbroken {kind}: {len(expected[kind][0]['rows'])} rows, {expected[kind][1]:.1f} s", flush=True)
            result, seconds = expected[kind]
            # Most kills fall into training; one in five at any time at all, start-up and report included.
            anywhere = attempt % 5 == 0
            rows = 0 if anywhere else generator.randint(1, len(result["rows"]))
            delay = generator.uniform(0.0, seconds) if anywhere else generator.uniform(0.0, 0.3)
            actual, where = broken(kind, folder / f"broken{attempt}", rows, delay)
            equal = actual == result
            different += not equal
            print(f"{attempt:2d}: {kind} killed {where}: {'equal' if equal else 'NOT EQUAL'}", flush=True)
    print(f"{asked.times - different} of {asked.times} resumed runs are equal to the unbroken one")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
