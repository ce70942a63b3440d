"""What a command names first: an experiment, and the preset that sets the defaults of its fields."""

from argparse import ArgumentParser

from metaplax import experiments
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


def _preset(arguments: list[str]) -> str:
    """The last preset among the arguments, or nothing; it is needed first, since it sets the defaults of the fields."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset", nargs="?", default="", const="")
    return parser.parse_known_args(arguments)[0].preset
