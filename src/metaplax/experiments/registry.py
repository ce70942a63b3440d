"""The experiments by name."""

from difflib import get_close_matches

from metaplax.experiments import lindsey2020, shervani2023, zucchet2022
from metaplax.experiments.base import AbstractExperiment, ConfigError

EXPERIMENTS: dict[str, type[AbstractExperiment]] = {
    experiment.name: experiment
    for experiment in (*shervani2023.EXPERIMENTS, *lindsey2020.EXPERIMENTS, *zucchet2022.EXPERIMENTS)
}


def lookup(name: str) -> type[AbstractExperiment]:
    """An experiment by name.

    Raises:
        ConfigError: there is none of this name; the message gives the nearest one.
    """
    if name not in EXPERIMENTS:
        near = get_close_matches(name, EXPERIMENTS, 1, 0.4)
        hint = f"did you mean {near[0]!r}" if near else "see `metaplax list`"
        raise ConfigError(f"there is no experiment {name!r}: {hint}")
    return EXPERIMENTS[name]
