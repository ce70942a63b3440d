"""Searches for the best setting with Optuna: workers share its journal, a file in the sweep folder; no server."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from metaplax.experiments import ConfigError
from metaplax.experiments.base import did_you_mean
from metaplax.runs import Interruption, RunFolder
from metaplax.runs.schema import RunState
from metaplax.runs.sweep_folder import UNKNOWN, SweepFolder, value_text
from metaplax.sweeps.conducting import STOP, conduct
from metaplax.sweeps.grid import run_name

JOURNAL = "search.journal"
TRIES = 2
"""How often a setting is begun whose process dies."""
DIED = "its process has died twice"


def require_optuna() -> None:
    """Raise ``ConfigError``, if Optuna is not installed."""
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise ConfigError("Optuna is not installed: pip install 'metaplax[search]'") from None


def settings_left(sweep: SweepFolder) -> int:
    """How many settings have not been tried to the end."""
    search = sweep.plan["search"]
    assert search is not None
    if not (sweep.path / JOURNAL).exists():
        return search["settings"]
    with _one_at_a_time(sweep):
        return search["settings"] - sum(trial.state.is_finished() for trial in _study(sweep).get_trials(deepcopy=False))


def search_once(
    sweep: SweepFolder, interruption: Interruption, tell: Callable[[str, RunState], None] = lambda name, state: None
) -> None:
    """Try the next setting with all seeds, or one whose worker has gone; does nothing if there is none left.

    Raises:
        ConfigError: the quantity that is searched by is not measured, so that the search ends.
    """
    if (sweep.path / STOP).exists():
        return
    with _one_at_a_time(sweep):
        claim = _left_behind(sweep) or _asked(sweep)
    if claim is None:
        return
    number, lock = claim
    try:
        _try(sweep, number, interruption, tell)
    finally:
        lock.release()


def _try(sweep: SweepFolder, number: int, interruption: Interruption, tell: Callable[[str, RunState], None]) -> None:
    """Conduct the runs of a setting, and tell Optuna what they are worth; if one fails, the setting has failed."""
    import optuna

    values = []
    for name in _chosen(sweep, number)["runs"]:
        state = conduct(sweep, name, interruption, lambda state, name=name: tell(name, state))
        if state["state"] == "stopped":
            _choose(sweep, number, tries=-1)  # it has not died
            return
        values.append(_value(sweep, name) if state["state"] == "finished" else np.nan)
    mean = float(np.mean(values))
    outcome = {"values": mean} if np.isfinite(mean) else {"state": optuna.trial.TrialState.FAIL}
    with _one_at_a_time(sweep):
        _study(sweep).tell(number, **outcome)


def _value(sweep: SweepFolder, name: str) -> float:
    """The quantity that is searched by, of a run; if it has none, the search ends."""
    search = sweep.plan["search"]
    assert search is not None
    known = {one["name"]: one["mean"] for one in RunFolder(sweep.path / name).read_json("result.json")["quantities"]}
    if search["goal"] not in known:
        (sweep.path / STOP).touch()
        hint = did_you_mean(search["goal"], known, "see its result.json")
        raise ConfigError(f"the search has ended, since {name} has no quantity {search['goal']!r}: {hint}")
    return float("nan") if known[search["goal"]] is None else known[search["goal"]]


def _study(sweep: SweepFolder) -> Any:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    search = sweep.plan["search"]
    assert search is not None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = JournalStorage(JournalFileBackend(str(sweep.path / JOURNAL)))
    direction = "maximize" if search["maximise"] else "minimize"
    study = optuna.create_study(storage=storage, study_name="sweep", direction=direction, load_if_exists=True)
    # Drawn anew for every setting, so that a single worker finds the same ones again.
    study.sampler = optuna.samplers.TPESampler(seed=sweep.plan["seeds"][0] + len(study.get_trials(deepcopy=False)))
    return study


def _space(sweep: SweepFolder) -> dict[str, Any]:
    """Optuna's distribution of every field: a range between two numbers, or a choice."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    search, found = sweep.plan["search"], {}
    assert search is not None
    for name, values in sweep.plan["fields"].items():
        if is_range(values):
            kind = IntDistribution if isinstance(values[0], int) else FloatDistribution
            found[name] = kind(min(values), max(values), log=name in search["log"])
        else:
            found[name] = CategoricalDistribution([value_text(value) for value in values])
    return found


def is_range(values: list[Any]) -> bool:
    """Whether the values of a field are the ends of a range: two numbers."""
    return len(values) == 2 and all(isinstance(one, int | float) and not isinstance(one, bool) for one in values)


@contextmanager
def _one_at_a_time(sweep: SweepFolder) -> Iterator[None]:
    with FileLock(sweep.path / "search.lock"):
        yield


def _left_behind(sweep: SweepFolder) -> tuple[int, FileLock] | None:
    """A setting whose worker has gone, with its lock; one that is not to be tried again has failed."""
    import optuna

    study = _study(sweep)
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        if (lock := _lock(sweep, trial.number)) is None:
            continue
        if (sweep.path / _file(trial.number)).exists() and _chosen(sweep, trial.number)["tries"] < TRIES:
            _choose(sweep, trial.number, tries=1)
            return trial.number, lock
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        if (sweep.path / _file(trial.number)).exists():
            for name in _chosen(sweep, trial.number)["runs"]:
                if not sweep.is_finished(name):
                    sweep.tell(name, {**UNKNOWN, "state": "failed", "error": DIED})
        lock.release()
    return None


def _asked(sweep: SweepFolder) -> tuple[int, FileLock] | None:
    """A new setting, with its lock; ``None`` if there are as many as were asked for."""
    study, search = _study(sweep), sweep.plan["search"]
    assert search is not None
    if len(study.get_trials(deepcopy=False)) >= search["settings"]:
        return None
    trial = study.ask(_space(sweep))
    words = {name: {value_text(value): value for value in values} for name, values in sweep.plan["fields"].items()}
    setting = {
        name: trial.params[name] if is_range(values) else words[name][trial.params[name]]
        for name, values in sweep.plan["fields"].items()
    }
    runs = {f"{trial.number:04d},{run_name(setting, seed)}": (setting, seed) for seed in sweep.plan["seeds"]}
    lock = _lock(sweep, trial.number)
    assert lock is not None, "nobody else knows it"
    entries = {name: {"setting": setting, "seed": seed} for name, (setting, seed) in runs.items()}
    RunFolder(sweep.path).write_json(_file(trial.number), {"runs": entries, "tries": 1})
    return trial.number, lock


def _file(number: int) -> str:
    return f"chosen/{number:04d}.json"


def _chosen(sweep: SweepFolder, number: int) -> dict[str, Any]:
    return sweep.chosen(_file(number))


def _choose(sweep: SweepFolder, number: int, tries: int) -> None:
    """Count how often a setting has been begun."""
    chosen = _chosen(sweep, number)
    RunFolder(sweep.path).write_json(_file(number), {**chosen, "tries": max(0, chosen["tries"] + tries)})


def _lock(sweep: SweepFolder, number: int) -> FileLock | None:
    """The lock of a setting; ``None`` if another worker holds it."""
    (sweep.path / "claims").mkdir(exist_ok=True)
    lock = FileLock(sweep.path / "claims" / f"{number:04d}")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return None
    return lock
