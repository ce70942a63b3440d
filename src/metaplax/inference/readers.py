"""Recordings read from files: NumPy arrays, and time series in Neurodata Without Borders."""

import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

SUFFIXES = (".npy", ".npz", ".nwb")


def read_array(place: str, name: str) -> Any:
    """An array from a file.

    Args:
        place: ``FILE.npy``; ``FILE.npz`` or ``FILE.nwb``, which hold arrays by name; or ``FILE.npz:NAME``.
        name: of the array, where ``place`` says none.

    Returns:
        the array; of an NWB file what ``read_nwb`` gives.

    Raises:
        ValueError: there is no such file or array, or it is damaged; one sentence.
        ImportError: it is an NWB file, and pynwb is not installed.
    """
    file, _, given = place.rpartition(":")
    path, name = (Path(file), given) if file and Path(file).suffix in SUFFIXES else (Path(place), name)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"recordings are read from files that end with {', '.join(SUFFIXES)}, which {path} does not")
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    if path.suffix == ".nwb":
        return read_nwb(path, name)
    try:
        with open(path, "rb") as stream:
            found = np.load(stream, allow_pickle=False)
            arrays = {"": found} if isinstance(found, np.ndarray) else {each: found[each] for each in found.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    name = "" if "" in arrays else name
    if name not in arrays:
        raise ValueError(f"{path} has no array {name!r}: there are {', '.join(arrays) or 'none'}")
    return arrays[name]


def read_nwb(path: str | Path, name: str) -> list[np.ndarray]:
    """A time series of an NWB file as trajectories.

    Args:
        path: the file.
        name: of a time series in its acquisition, stimuli, or processing modules; of shape ``(time,)`` or
            ``(time, channels)``.

    Returns:
        an array of shape ``(steps, channels)`` for every trial of the table of trials; without one, the whole series.

    Raises:
        ValueError: there is no such series, or it cannot be read; one sentence.
        ImportError: pynwb is not installed.
    """
    try:
        pynwb: Any = import_module("pynwb")
    except ImportError as error:
        raise ImportError('NWB files need pynwb: pip install "metaplax[nwb]"') from error
    try:
        with pynwb.NWBHDF5IO(str(path), "r") as stream:
            content = stream.read()
            series = _series(content)
            if name not in series:
                raise ValueError(f"{path} has no time series {name!r}: there are {', '.join(sorted(series)) or 'none'}")
            return _in_trials(content, series[name])
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


def _series(content: Any) -> dict[str, Any]:
    """All time series of an NWB file by name."""
    places = [content.acquisition, content.stimulus, *(it.data_interfaces for it in content.processing.values())]
    found = {name: value for place in places for name, value in place.items()}
    inside = [
        getattr(value, "time_series", None) or getattr(value, "roi_response_series", {}) for value in found.values()
    ]
    found |= {name: value for each in inside for name, value in each.items()}
    return {name: value for name, value in found.items() if hasattr(value, "data") and hasattr(value, "rate")}


def _in_trials(content: Any, series: Any) -> list[np.ndarray]:
    """A series cut into the trials of the file, if it has any."""
    values = np.asarray(series.data[:], float)
    values = values[:, None] if values.ndim == 1 else values
    if content.trials is None:
        return [values]
    if series.timestamps is None:
        times = (series.starting_time or 0.0) + np.arange(len(values)) / series.rate
    else:
        times = np.asarray(series.timestamps[:])
    trials = content.trials
    bounds = zip(trials["start_time"][:], trials["stop_time"][:], strict=True)
    return [values[(times >= first) & (times < last)] for first, last in bounds]
