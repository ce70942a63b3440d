"""Random lives of a run: it is killed, stopped, resumed, extended, moved, copied, damaged, resumed twice at once.

Usage: ``.venv/bin/python scripts/run_life.py --sequences 500``. After every operation either ``result.json`` equals
that of an unbroken run, or the user was told in one sentence why there is none.

Every operation is ``metaplax run`` or ``metaplax resume`` in a process of its own, forked from this one, which has
imported everything but never run JAX. A kill is a real SIGKILL, which the process sends to itself at its n-th file
operation (as Python's audit hooks see them), since kills at random times hit the same long waits again and again;
``kill_and_resume.py`` does it at random times and from outside. Reports are not written.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orbax.checkpoint  # noqa: F401  (loaded before processes are forked)
from kill_and_resume import outcome

from metaplax import reports
from metaplax.cli import commands, main
from metaplax.experiments import AbstractExperiment, AbstractStudy

FILE_OPERATIONS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate"}
RUN = ("run", f"{__file__}:Walks", "--checkpoint-seconds", "0")
SENTENCE, STOPPED = (1, 2), 130
KILLED = (-signal.SIGKILL, -signal.SIGTERM)
"""Exit codes of a process that was killed, by SIGTERM too before it listens to it and after that."""


@dataclass(frozen=True)
class Walking(AbstractStudy):
    """A random walk in double precision, in which every bit of every step counts."""

    steps: int = 1
    number: int = 0
    fingerprint = "walking"

    def check(self): ...

    def conduct(self, conditions):
        def step(index, state):
            state = np.sin(3 * state + np.random.default_rng([self.number, index]).normal(size=state.shape))
            return state, {"loss": state**2, "theta0": state}

        state = conditions.run_steps(lambda _: step, np.zeros(conditions.trials), self.steps)
        conditions.recorder.finish(self.steps, {"theta0": state})


@dataclass(frozen=True)
class Walks(AbstractExperiment):
    """Three random walks, the last of which always has as many steps."""

    data: str = "none"
    trials: int = 2
    meta_steps: int = 5

    def studies(self, data, load):
        return {name: Walking(self.meta_steps if name in "ab" else 2, ord(name)) for name in "abc"}


@dataclass
class Ended:
    """How a process ended."""

    code: int
    said: str

    @property
    def sentences(self) -> int:
        return sum(line.startswith("metaplax: ") for line in self.said.splitlines())


@dataclass
class Life:
    """One run and what has happened to it."""

    place: Path
    dice: random.Random
    moments: int
    folder: Path | None = None
    clock: float = 0.0
    is_damaged: bool = False
    log: list[str] = field(default_factory=list)

    def start(self, *arguments: str, at: int = 0, number: int = signal.SIGKILL) -> "Process":
        return Process(list(arguments), self.place, at, number, self.clock)

    def go_on(self, *more: str, at: int = 0, number: int = signal.SIGKILL) -> "Process":
        """Start the run, or resume it once there is something to resume."""
        if self.folder is None:
            return self.start(*RUN, "--out", str(self.place / "runs"), at=at, number=number)
        return self.start("resume", str(self.folder), *more, at=at, number=number)

    def look(self) -> None:
        """Find the folder of the run, once it has one."""
        if self.folder is None:
            found = [path.parent for path in (self.place / "runs").glob("*/config.json")]
            self.folder = found[0] if found else None


class Process:
    """A command in a forked process."""

    def __init__(self, arguments: list[str], place: Path, at: int, number: int, clock: float):
        self.output = place / f"said-{random.getrandbits(64):x}"
        self.id = os.fork()
        if self.id == 0:
            code = 70
            try:
                code = self._run(arguments, place, at, number, clock)
            except BaseException:
                traceback.print_exc()
            finally:
                with contextlib.suppress(OSError):
                    sys.stderr.flush()
                os._exit(code)

    def _run(self, arguments: list[str], place: Path, at: int, number: int, clock: float) -> int:
        said = os.open(self.output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(said, 1)
        os.dup2(said, 2)
        now, write = time.time, time.strftime
        time.time = lambda: now() + clock
        time.strftime = lambda form, moment=None: write(form, moment or time.localtime(time.time()))
        seen = 0

        def hook(event: str, values: tuple[Any, ...]) -> None:
            nonlocal seen
            if event in FILE_OPERATIONS and str(place) in str(values[0]):
                seen += 1
                if seen == at:
                    os.kill(os.getpid(), number)

        sys.addaudithook(hook)
        code = main(arguments)
        self.output.with_suffix(".moments").write_text(str(seen))
        return code

    def wait(self) -> Ended:
        code = os.waitstatus_to_exitcode(os.waitpid(self.id, 0)[1])
        said = self.output.read_text(errors="replace")
        self.output.unlink()
        return Ended(code, said)


def kill(life: Life) -> list[Ended]:
    return [life.go_on(at=life.dice.randint(1, life.moments)).wait()]


def stop(life: Life) -> list[Ended]:
    return [life.go_on(at=life.dice.randint(1, life.moments), number=signal.SIGTERM).wait()]


def resume(life: Life) -> list[Ended]:
    return [life.go_on().wait()]


def extend(life: Life) -> list[Ended]:
    more = ("--more-meta-steps", str(life.dice.randint(1, 3))) if life.folder else ()
    return [life.go_on(*more, at=life.dice.choice((0, life.dice.randint(1, life.moments)))).wait()]


def twice(life: Life) -> list[Ended]:
    """Two processes at once: one of them waits for nobody, or is told."""
    if life.folder is None:
        return resume(life)
    return [process.wait() for process in (life.go_on(), life.go_on())]


def move(life: Life) -> list[Ended]:
    if life.folder is not None:
        life.folder = life.folder.rename(life.place / f"moved to ü {len(life.log)}")
    return []


def copy(life: Life) -> list[Ended]:
    if life.folder is not None:
        life.folder = Path(shutil.copytree(life.folder, life.place / f"copy {len(life.log)}"))
    return []


def turn_back(life: Life) -> list[Ended]:
    """The clock goes back by a day, so that all files are from the future."""
    life.clock -= 86400.0
    return []


def damage(life: Life) -> list[Ended]:
    """Harm one file, or put one checkpoint in the place of another."""
    files = sorted(path for path in (life.folder or life.place / "none").rglob("*") if path.is_file())
    if not files:
        return []
    life.is_damaged, file = True, life.dice.choice(files)
    harm = life.dice.choice(["flip", "flip", "cut", "empty", "delete", "more", "misplace"])
    life.log.append(f"{harm} {file.relative_to(life.folder)}")
    content = bytearray(file.read_bytes())
    if harm == "flip" and content:
        content[life.dice.randrange(len(content))] ^= 1 << life.dice.randrange(8)
    elif harm == "delete":
        file.unlink()
        return []
    elif harm == "misplace":
        misplace(life)
        return []
    kept = {"cut": life.dice.randrange(len(content) + 1), "empty": 0}.get(harm, len(content))
    file.write_bytes(content[:kept] + (b"\0more" if harm == "more" else b""))
    return []


def misplace(life: Life) -> None:
    """Rename a checkpoint, within its study or into another one."""
    found = sorted(path.parent for path in life.folder.glob("checkpoints/*/*/checksums.json"))
    if found:
        target = life.dice.choice(found).parent / str(life.dice.randint(0, 6))
        shutil.rmtree(target, ignore_errors=True)
        moved = [path for path in found if path != target]
        if moved:
            life.dice.choice(moved).rename(target)


OPERATIONS = (kill, kill, kill, stop, stop, resume, extend, twice, move, copy, turn_back, damage)


class Fault(Exception):
    """What must not happen."""


class Campaign:
    """Lives, one after the other, and the results of unbroken runs to compare them with."""

    def __init__(self, place: Path):
        self.place, self.expected, self.counts = place, {}, Counter()
        self.moments = 0

    def unbroken(self, meta_steps: int) -> dict:
        if meta_steps not in self.expected:
            life = Life(self.place / f"unbroken{meta_steps}", random.Random(0), 0)
            life.place.mkdir()
            process = life.start(*RUN, "--meta-steps", str(meta_steps), "--out", str(life.place / "runs"))
            moments = process.output.with_suffix(".moments")
            ended = process.wait()
            if ended.code:
                raise SystemExit(f"the unbroken run failed: {ended.said}")
            self.expected[meta_steps] = outcome(life.place / "runs")
            self.moments = self.moments or int(moments.read_text())
        return self.expected[meta_steps]

    def check(self, life: Life, ended: Ended) -> None:
        """Compare what a process has left with what must not happen."""
        if "Traceback" in ended.said or ended.code not in (0, *SENTENCE, STOPPED, *KILLED):
            raise Fault(f"exit code {ended.code}: {ended.said}")
        if ended.code in SENTENCE:
            if ended.sentences != 1:
                raise Fault(f"{ended.sentences} sentences: {ended.said}")
            if not life.is_damaged and "another process is writing" not in ended.said:
                raise Fault(f"nothing was damaged, but it was refused: {ended.said}")
            self.counts["told"] += 1
        if ended.code == 0:
            life.look()
            try:
                config = json.loads((life.folder / "config.json").read_text())["config"]
                found = outcome(life.folder.parent, life.folder.name)
            except (OSError, ValueError, KeyError) as error:
                raise Fault(f"a file of a finished run cannot be read: {error!r}") from error
            if found != self.unbroken(config["meta_steps"]):
                raise Fault(f"the result is another one than that of an unbroken run: {ended.said}")
            self.counts["equal"] += 1

    def live(self, seed: str, operations: int) -> None:
        """One life; what happened is in its log."""
        life = Life(self.place / seed, random.Random(seed), self.moments)
        life.place.mkdir()
        dice = life.dice
        try:
            for operate in [*(dice.choice(OPERATIONS) for _ in range(dice.randint(1, operations))), resume]:
                life.log.append(operate.__name__)
                self.counts["operations"] += 1
                self.counts[operate.__name__] += 1
                for ended in operate(life):
                    self.check(life, ended)
                life.look()
        except Fault as fault:
            raise Fault(f"life {seed}, {', '.join(life.log)}, in {life.place}: {fault}") from None
        shutil.rmtree(life.place)


def campaign() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=500)
    parser.add_argument("--operations", type=int, default=10, help="most operations of one sequence")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep-going", action="store_true", help="go on after a fault")
    asked = parser.parse_args()
    reports.write = commands.reports.write = lambda folders, target: Path(target)
    faults = 0
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        lives = Campaign(Path(name).resolve())
        lives.unbroken(Walks().meta_steps)
        for sequence in range(asked.sequences):
            try:
                lives.live(f"{asked.seed}-{sequence}", asked.operations)
            except Fault as fault:
                faults += 1
                print(f"FAULT: {fault}", flush=True)
                if not asked.keep_going:
                    return 1
        counted = ", ".join(f"{count} {what}" for what, count in lives.counts.items())
        print(f"{asked.sequences} sequences, {faults} faults: {counted}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(campaign())
