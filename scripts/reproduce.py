"""Run everything again that ``docs/results`` keeps, at one commit, and write the summaries and tables.

Usage: ``make reproduce ARGS="[--list] [--only NAME ...] [--out FOLDER] [--data-dir DIR]"``.
``docs/results/manifest.toml`` says by which commands a result is made. Runs are conducted one after the other and kept
in a folder; one that was stopped is resumed, and one that is finished is not run again.
"""

import argparse
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from metaplax.cli.commands import configured
from metaplax.cli.parsing import UsageError
from metaplax.experiments import ConfigError
from metaplax.experiments.stored_config import stored
from metaplax.runs import RunFolder, environment
from scripts import collect_result, docs_tables
from scripts.kept_results import RESULTS, SpecError, kept, names, with_todays_names

MANIFEST = RESULTS / "manifest.toml"


def manifest() -> dict[str, dict[str, Any]]:
    """What is run for every result, by name."""
    return tomllib.loads(MANIFEST.read_text(encoding="utf-8"))


def configuration(command: str) -> dict[str, Any]:
    """The configuration that a command gives today, as a run would store it.

    Raises:
        UsageError: it names an unknown option.
        ConfigError: it names an unknown experiment, or is refused.
    """
    program, verb, name, *options = shlex.split(command)
    if (program, verb) != ("metaplax", "run"):
        raise UsageError(f"{command!r} must begin with 'metaplax run'")
    return stored(configured([name, *options]).experiment)


def older(name: str, entry: Mapping[str, Any]) -> str:
    """Which fields of the configuration have changed since a result was made; empty if none has."""
    if "superseded" in entry:
        return entry["superseded"]
    now = [with_todays_names(plain(configuration(command))) for command in entry["runs"]]
    then = kept(name).configs
    if len(now) != len(then):
        return f"{len(then)} runs in place of {len(now)}"
    changed = {key for was, one in zip(then, now, strict=True) for key in was.keys() | one.keys()
               if was.get(key) != one.get(key)}  # fmt: skip
    return ", ".join(sorted(changed))


def plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with lists in place of tuples, as JSON has them."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in config.items()}


def listing() -> Iterator[str]:
    """For every result a line: commit, day, number of trials, hours, and how its configuration differs from today's."""
    yield f"{'result':45} {'commit':9} {'day':10} {'n':>3} {'hours':>6}  configuration"
    for name, entry in manifest().items():
        if name not in names():
            yield f"{name:45} {'not run yet':>31}"
            continue
        one = kept(name)
        n = max(quantity["n"] for quantity in one.quantities.values())
        commits = one.commits[0] + ("+" if len(one.commits) > 1 else "")
        changed = older(name, entry)
        protocol = f"older: {changed}" if changed else "as today"
        needs = f" (needs {entry['needs']})" if "needs" in entry else ""
        yield f"{name:45} {commits:9} {one.finished} {n:3} {one.hours:6.2f}  {protocol}{needs}"


def chosen(only: list[str]) -> dict[str, dict[str, Any]]:
    """The results to make: those that are named, or all that need nothing special.

    Raises:
        SpecError: a name is unknown, or cannot be made any more.
    """
    known = manifest()
    for name in only:
        if name not in known or "superseded" in known[name]:
            raise SpecError(f"{name!r} cannot be made: {known.get(name, {}).get('superseded', 'see --list')}")
    usual = [name for name, entry in known.items() if not entry.keys() & {"superseded", "needs"}]
    return {name: known[name] for name in only or usual}


def conduct(command: str, parent: Path, data_dir: Path) -> Path:
    """The finished run of a command in a folder of its own: found there, resumed or begun.

    Raises:
        SpecError: it failed, or was run at another commit.
    """
    begun = sorted(path.parent for path in parent.glob("*/config.json"))
    if len(begun) > 1:
        raise SpecError(f"{parent} holds several runs: keep one of them")
    if begun:
        commit, now = RunFolder(begun[0]).env().get("commit"), environment()["commit"]
        if commit != now:
            raise SpecError(f"{begun[0]} was run at {commit}, not at {now}: name another folder by --out")
        if (begun[0] / "result.json").is_file():
            return begun[0]
        call("resume", str(begun[0]), "--data-dir", str(data_dir))
        return begun[0]
    call(*words(command, data_dir), "--out", str(parent))
    return next(path.parent for path in parent.glob("*/config.json"))


def words(command: str, data_dir: Path, run: Path | None = None) -> list[str]:
    """What follows ``metaplax`` in a command of the manifest."""
    known = {"DATA": str(data_dir), "{run}": str(run)}
    return [known.get(word, word) for word in shlex.split(command)[1:]]


def call(*arguments: str) -> None:
    print("$ metaplax", shlex.join(arguments), flush=True)
    code = subprocess.run([sys.executable, "-m", "metaplax", *arguments]).returncode
    if code:
        raise SpecError(f"metaplax ended with {code}; the same command goes on")


def make(name: str, entry: Mapping[str, Any], out: Path, data_dir: Path) -> None:
    """Make one result: its runs, what follows them, and its summary."""
    folders = [conduct(command, out / name / str(k), data_dir) for k, command in enumerate(entry["runs"])]
    for command in entry.get("then", ()):
        # What is scored already is not scored again.
        call(*words(command, data_dir, folders[-1]))
    collect_result.keep(folders, together=len(folders) > 1, name=name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="say what is kept, and run nothing")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="make these results only")
    parser.add_argument("--out", type=Path, default=Path("runs/reproduce"), help="folder of the runs")
    parser.add_argument("--data-dir", type=Path, default=Path("../shared/data"), help="folder of the data")
    asked = parser.parse_args()
    try:
        if asked.list:
            print(*listing(), sep="\n")
            return 0
        results = chosen(asked.only)
        hours = sum(kept(name).hours for name in results if name in names())
        print(f"{len(results)} results, {hours:.1f} hours when they were made last, on two cores", flush=True)
        for name, entry in results.items():
            make(name, entry, asked.out, asked.data_dir.absolute())
        kept.cache_clear()
        print(*(f"written: {page.name}" for page in docs_tables.write()), sep="\n")
    except (SpecError, UsageError, ConfigError) as error:
        print(f"reproduce: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
