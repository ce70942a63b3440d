"""What a command names first: an experiment, and the preset that sets the defaults of its fields; and its help."""

from argparse import ArgumentParser

from metaplax import data, experiments
from metaplax.cli.parsing import UsageError
from metaplax.experiments import AbstractExperiment


def named(arguments: list[str], verb: str) -> tuple[str, AbstractExperiment, str] | None:
    """The name of an experiment, how its preset configures it, and that preset; ``None`` if help was asked for.

    Raises:
        UsageError: no experiment is named.
        ConfigError: there is no such experiment or preset.
    """
    if not arguments or arguments[0].startswith("-"):
        names = ", ".join(experiments.names())
        if not arguments or arguments[0] not in ("-h", "--help"):
            raise UsageError(f"which experiment? There are {names}")
        print(f"usage: metaplax {verb} EXPERIMENT [--FIELD ...]\n\nEXPERIMENT is FILE.py:CLASS, or one of {names}")
        return None
    kind = experiments.lookup(arguments[0])
    preset = _preset(arguments[1:]) or ("quick" if "quick" in kind.presets else next(iter(kind.presets), "default"))
    return arguments[0], experiments.configure(kind, preset), preset


def about_experiment(experiment: AbstractExperiment) -> str:
    """What help says before the options: how long the presets take, which data are needed and how to get them."""
    times = experiments.preset_times(experiment.name)
    presets = [f"{name} ({duration(times[name]) if name in times else 'not timed'})" for name in experiment.presets]
    said = [f"Presets, and about how long they take on two cores: {', '.join(presets)}."] if presets else []
    if experiment.data in data.CATALOG:
        said.append(data.CATALOG[experiment.data].needs(experiment.data))
    return " ".join(said)


def duration(seconds: int) -> str:
    """A time in its nearest unit, such as ``4 min``."""
    unit, size = next(one for one in (("h", 3600), ("min", 60), ("s", 1)) if seconds >= 1.5 * one[1] or one[1] == 1)
    return f"{max(1, round(seconds / size, 1 if unit == 'h' else None))} {unit}"


def _preset(arguments: list[str]) -> str:
    """The last preset among the arguments, or nothing; it is needed first, since it sets the defaults of the fields."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset", nargs="?", default="", const="")
    return parser.parse_known_args(arguments)[0].preset
