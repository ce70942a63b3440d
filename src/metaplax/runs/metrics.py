"""``metrics.jsonl``: a line for every recorded step of every study, read once, checked, and appended to."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import msgspec

from metaplax._files import open_to_append, write_whole
from metaplax.runs.checksums import sealed_line, unsealed_line
from metaplax.runs.old_names import translate_row
from metaplax.runs.schema import Numbers, RunFolderError, damage, explaining, opened_to_read
from metaplax.runs.thinning import next_recorded

RECORD = {"study", "step", "stride", "seconds", "cpu_seconds", "final"}
"""Entries of a line that are not measured: its study, the index of its step, for how many steps up to this one it
stands, if for several, their wall-clock and processor time, and whether it holds the values after the last step."""
LONGEST = 1 << 26
"""Bytes of the longest line that is read."""
ADVICE = "put back a copy of the file, or delete this line and all that follow and resume the run"

Lines = list[dict[str, Any]]
LINE = msgspec.json.Decoder(dict[str, bool | int | float | str | Numbers])
ENCODER = msgspec.json.Encoder()


class Metrics:
    """The file, as lists of lines by study.

    Args:
        path: the file; it need not exist.
    """

    def __init__(self, path: Path):
        self.path = path
        self._stream: IO[str] | None = None
        self._read: dict[str, Lines] | None = None
        self._is_ours = False

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Read the file only once, since nobody else changes it meanwhile."""
        self._is_ours = True
        try:
            yield
        finally:
            self._is_ours = False
            self.close()

    def by_study(self) -> dict[str, Lines]:
        """All lines by study, with today's names; a last line that a crash cut short is left out.

        Who alone writes to the file deletes such a line.

        Raises:
            RunFolderError: the file cannot be read, or a line is damaged, missing, doubled or out of order.
        """
        if self._read is not None:
            return self._read
        found = _read(self.path)
        if self._is_ours:
            if not _ends_with_newline(self.path):
                self.replace(found)
            self._read = found
        return found

    def append(self, line: Mapping[str, Any]) -> None:
        """Add a line; values that are not finite become null.

        Raises:
            RunFolderError: it cannot be written, or the file is damaged.
        """
        if self._stream is None:
            if not _ends_with_newline(self.path):
                self.replace(self.by_study())
            with explaining(self.path):
                self._stream = open_to_append(self.path)
        with explaining(self.path):
            self._stream.write(_encoded(line))
            self._stream.flush()
        if self._read is not None:
            self._read.setdefault(line["study"], []).append(dict(line))

    def replace(self, lines: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
        """Write the file anew, all or nothing.

        Raises:
            RunFolderError: it cannot be written; what was there before is still there.
        """
        self.close()
        with explaining(self.path):
            write_whole(self.path, "".join(_encoded(line) for of_study in lines.values() for line in of_study).encode())

    def close(self) -> None:
        """Close the file, if it is open; the next line opens it again."""
        self._read = None
        if self._stream is not None:
            stream, self._stream = self._stream, None
            with explaining(self.path):
                stream.close()

    @property
    def descriptor(self) -> int | None:
        """Of the file, if it is open."""
        return None if self._stream is None else self._stream.fileno()


def covered(lines: Sequence[Mapping[str, Any]], steps: int) -> int:
    """How many steps the lines of a study account for, if it has so many in all; a final line does not count."""
    taken = [line for line in lines[-2:] if not line.get("final")]
    if not taken:
        return 0
    width = sum(len(value) for value in taken[-1].values() if isinstance(value, list))
    return next_recorded(taken[-1]["step"] + 1, steps, width)


def refuse_foreign(found: Mapping[str, Lines], known: Collection[str], path: Path) -> None:
    """Refuse lines of other studies than the known ones, and studies whose lines do not all hold the same values.

    Raises:
        RunFolderError: there are some.
    """
    for study, lines in found.items():
        if study not in known:
            raise RunFolderError(f"{path} has lines of {study!r}, which is no study of this run")
        for line in lines:
            if not line.get("final") and (line.keys() ^ lines[0].keys()) - RECORD:
                raise RunFolderError(
                    f"{path} is damaged: step {line['step']} of {study!r} has other values than step 0; put back a copy"
                )


def _read(path: Path) -> dict[str, Lines]:
    found: dict[str, Lines] = {}
    if not path.exists() and not path.is_symlink():
        return found
    with opened_to_read(path) as stream:
        for number, text in enumerate(iter(lambda: stream.readline(LONGEST), b""), start=1):
            with damage(path, f"line {number} of ", ADVICE):
                try:
                    line = translate_row(unsealed_line(text, LINE.decode(text)))
                except (ValueError, RecursionError):
                    if not text.endswith(b"\n") and len(text) < LONGEST:
                        break
                    raise
                _check(line, found)
                found.setdefault(line["study"], []).append(line)
    return found


def _check(line: dict[str, Any], found: Mapping[str, Lines]) -> None:
    """Refuse a line that does not follow those before it.

    Raises:
        ValueError: one sentence.
    """
    study, step, stride = line.get("study"), line.get("step"), line.get("stride", 1)
    if not isinstance(study, str) or type(step) is not int or type(stride) is not int or stride < 1:
        raise ValueError("it has no study and step")
    before = found[study][-1] if found.get(study) else {"step": -1}
    expected = before["step"] + stride
    if before.get("final"):
        raise ValueError(f"it comes after the last one of {study!r}")
    if step != expected:
        raise ValueError(f"it is of step {step} of {study!r}, but step {expected} comes next")
    first = found[study][0] if found.get(study) else line
    values = line.keys() - RECORD
    trials = {len(line[name]) if isinstance(line[name], list) else -1 for name in values}
    trials |= {len(value) for value in first.values() if isinstance(value, list)}
    if len(trials) > 1 or trials & {-1, 0}:
        raise ValueError("it does not hold one number for each trial")
    if None in line.get("masked", ()) or any(not number or number < 1 for number in line.get("meta_batch", ())):
        raise ValueError("its numbers of episodes make no sense")
    for name in ("seconds", "cpu_seconds"):
        if name in line and type(line[name]) not in (int, float):
            raise ValueError(f"its {name} are not a number")


def _encoded(line: Mapping[str, Any]) -> str:
    return sealed_line(ENCODER.encode(line)).decode() + "\n"


def _ends_with_newline(path: Path) -> bool:
    if not path.exists():
        return True
    with opened_to_read(path) as stream:
        if not stream.seek(0, 2):
            return True
        stream.seek(-1, 2)
        return stream.read() == b"\n"
