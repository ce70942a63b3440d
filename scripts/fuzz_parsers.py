"""Damage small data files, rule files and run folders at random, read them, and count what goes wrong.

A damaged file must be read, or refused by an error of the package with one line; reading it must take neither much
memory nor long, start no process, reach no network, and open nothing outside the folder. Input ``n`` depends on the
seed and ``n`` alone::

    python scripts/fuzz_parsers.py --inputs 100000
    python scripts/fuzz_parsers.py --only omniglot --first 4711 --inputs 1
"""

import argparse
import gzip
import io
import json
import os
import resource
import shutil
import signal
import struct
import sys
import tarfile
import tempfile
import time
import traceback
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pooch
from PIL import Image

import metaplax as mp
from metaplax.plasticity.library import LearnedRule
from metaplax.runs import RunFolder, RunFolderError

MEMORY, SECONDS = 2**30, 20
"""What one input may take."""
FORBIDDEN = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect")
Mutate = Callable[[bytes], bytes]
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 6, 5), np.uint8)


class Breach(BaseException):
    """What no parser may do; not an ``Exception``, so that none can catch it."""


@dataclass(frozen=True)
class Target:
    """A parser.

    Attributes:
        files: makes its files, and hands every part that may be damaged to a function.
        read: reads them from a folder.
        errors: those by which damaged files may be refused.
    """

    files: Callable[[Mutate], dict[str, bytes]]
    read: Callable[[Path], object]
    errors: tuple[type[Exception], ...] = (mp.data.DataError,)


def idx(m: Mutate, array: np.ndarray) -> bytes:
    return m(gzip.compress(m(bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes())))


def mnist(m: Mutate) -> dict[str, bytes]:
    images, labels = idx(m, PIXELS), idx(m, np.arange(4, dtype=np.uint8))
    return {"t10k-images-idx3-ubyte.gz": images, "t10k-labels-idx1-ubyte.gz": labels}


def image(m: Mutate, kind: str = "PNG", mode: str = "L") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PIXELS[0]).convert(mode).save(stream, kind)
    content = stream.getvalue()
    if kind != "PNG":
        return m(content)
    # Chunks whose checksums are right get further than those whose are not.
    chunks, at = [], 8
    while at < len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        body = m(content[at + 4 : at + 8 + size])
        chunks.append(struct.pack(">I", max(0, len(body) - 4)) + body + struct.pack(">I", zlib.crc32(body)))
        at += 12 + size
    return m(content[:8] + b"".join(chunks))


def text(m: Mutate, value: str) -> str:
    return m(value.encode()).decode("utf-8", "replace").replace("\0", "_") or "x"


def omniglot(m: Mutate) -> dict[str, bytes]:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings(action="ignore"):
        for name in ("a/b/1.png", "a/c/2.PNG", "__MACOSX/a/b/._1.png"):
            archive.writestr(text(m, name), image(m, mode="1"))
    return {"images_evaluation.zip": m(stream.getvalue())}


def emnist(m: Mutate) -> dict[str, bytes]:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for part, array in (("images-idx3", PIXELS), ("labels-idx1", np.arange(4, dtype=np.uint8))):
            archive.writestr(f"gzip/emnist-balanced-test-{part}-ubyte.gz", idx(m, array))
    return {"gzip.zip": m(stream.getvalue())}


def batch(m: Mutate) -> bytes:
    return m((bytes([3]) + bytes(range(256)) * 12) * 2)


def cifar10(m: Mutate) -> dict[str, bytes]:
    return {"test_batch.bin": batch(m)}


def cifar10_tar(m: Mutate) -> dict[str, bytes]:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in (("readme" * 20, b"words"), ("cifar-10-batches-bin/test_batch.bin", batch(m))):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return {"cifar-10-binary.tar.gz": m(gzip.compress(m(stream.getvalue()), 1))}


def miniimagenet(m: Mutate) -> dict[str, bytes]:
    names = {f"{n}.jpg": image(m, "JPEG", "RGB") for n in range(2)}
    rows = m("".join(("filename,label\r\n", *(f"{name},n{k}\r\n" for k, name in enumerate(names)))).encode())
    return {"val.csv": rows} | {f"miniimagenet/images/{name}": content for name, content in names.items()}


def pictures(m: Mutate) -> dict[str, bytes]:
    return {"cat/1.png": image(m, mode="P"), "cat/2.PNG": image(m, mode="LA"), "dog/1.jpg": image(m, "JPEG")}


def rule(m: Mutate) -> dict[str, bytes]:
    return {"rule.json": m(mp.rules.describe("shervani2023/f_bio").as_json().encode())}


def run_folder(m: Mutate) -> dict[str, bytes]:
    study = {"arm": "one", "condition": "", "arm_label": "One", "group": "", "label": "One", "terms": []}
    config = {"checkpoint_seconds": 20.0, "config": {"trials": 2}, "data": "none", "data_dir": None, "data_sha256": ""}
    config |= {"experiment": "mine", "preset": "quick", "published": {}, "report": {"averaged": 2}, "source": ""}
    config |= {"studies": {"one": study}, "title": "Mine"}
    rows = [{"study": "one", "step": k, "seconds": 0.1, "cpu_seconds": 0.1, "loss": [0.5, 0.25]} for k in range(2)]
    quantity = {"name": "loss.one", "mean": 0.4, "ci_low": 0.3, "ci_high": 0.5, "n": 2, "unit": "nats"}
    quantity |= {"published": None, "published_source": ""}
    files = {"config.json": config, "env.json": {"libraries": {}}, "result.json": {"quantities": [quantity]}}
    found = {name: m(json.dumps(value).encode()) for name, value in files.items()}
    return found | {"metrics.jsonl": m("".join(json.dumps(row) + "\n" for row in rows).encode())}


def read_files_of_run(folder: Path) -> None:
    opened = RunFolder.open(folder)
    opened.rows(), opened.read_json("env.json"), opened.read_json("result.json"), opened.config()


def read_report(folder: Path) -> None:
    found = mp.reports.read(folder)
    _ = found.title, found.labels, found.headline, found.findings, found.equations()


TARGETS = {
    "mnist": Target(mnist, lambda folder: mp.data.mnist("test", data_dir=folder)),
    "omniglot": Target(omniglot, lambda folder: mp.data.omniglot("evaluation", data_dir=folder, size=4)),
    "cifar10": Target(cifar10, lambda folder: mp.data.cifar10("test", data_dir=folder)),
    "miniimagenet": Target(miniimagenet, lambda folder: mp.data.miniimagenet("val", data_dir=folder, size=4)),
    "pictures": Target(pictures, lambda folder: mp.data.from_folder(folder, side=4)),
    "emnist_zip": Target(emnist, lambda folder: mp.data.emnist(data_dir=folder)),
    "cifar10_tar": Target(cifar10_tar, lambda folder: mp.data.cifar10("test", data_dir=folder)),
    "rule": Target(
        rule, lambda folder: str(LearnedRule.from_json((folder / "rule.json").read_text("utf-8"))), (ValueError,)
    ),
    "run": Target(run_folder, read_files_of_run, (RunFolderError,)),
    "report": Target(run_folder, read_report, (RunFolderError,)),
}
TOKENS = [
    b"null", b"NaN", b"-1", b"1e999", b"9" * 400, b"[]", b"{}", b'""', b"[" * 3000, b'"../../secret"', b"/etc/passwd",
    b"..", b"\0", b"\x1b[2J", b"\n", b'"', b",", "é".encode(), b"\xff\xfe", b"x" * 300, b"%!PS-Adobe-3.0 EPSF-3.0\n",
    b"<html>", *(size.to_bytes(4, order) for order in ("little", "big") for size in (65535, 2**31, 2**32 - 1)),
]  # fmt: skip


LINKS = ("/etc/passwd", "/dev/zero", "..", "nowhere", Path(__file__).resolve())


def damaged(content: bytes, random: np.random.Generator) -> bytes:
    """The same bytes with one to three changes."""
    changed = bytearray(content)
    for _ in range(random.integers(1, 4)):
        start, end = sorted(random.integers(0, len(changed) + 1, 2))
        kind = random.integers(6)
        if kind == 0:
            changed[start : start + 1] = bytes([random.integers(256)])
        elif kind == 1:
            del changed[start:]
        elif kind == 2:
            del changed[start : min(end, start + 16)]
        elif kind == 3:
            changed[start:start] = changed[start : min(end, start + 64)]
        else:
            token = TOKENS[random.integers(len(TOKENS))]
            changed[start : start + (len(token) if kind == 4 else 0)] = token
    return bytes(changed)


def build(target: Target, random: np.random.Generator) -> dict[str, bytes]:
    """Files of a target, one or two parts of which are damaged."""
    parts = []
    target.files(lambda content: parts.append(content) or content)
    chosen, number = set(random.integers(0, len(parts), random.integers(1, 3)).tolist()), iter(range(len(parts)))
    return target.files(lambda content: damaged(content, random) if next(number) in chosen else content)


def place(folder: Path, files: dict[str, bytes], odd: int | None = None) -> None:
    """Write the files, and in the place of the last one something ``odd``, such as a pipe."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    if odd is None:
        return
    path.unlink()
    if odd == 0:
        os.mkfifo(path)
    elif odd == 1:
        path.mkdir()
    else:
        path.symlink_to(LINKS[odd - 2])


class Watch:
    """Refuses what parsers may not do, while ``folder`` is set."""

    def __init__(self):
        self.folder: str | None = None
        sys.addaudithook(self._audit)

    @contextmanager
    def over(self, folder: Path) -> Iterator[None]:
        self.folder = os.path.realpath(folder)
        try:
            yield
        finally:
            self.folder = None

    def _audit(self, event: str, arguments: tuple) -> None:
        folder = self.folder
        if folder is None:
            return
        if event in FORBIDDEN:
            raise Breach(f"{event} {arguments[:2]}")
        if event in ("open", "os.listdir", "os.scandir") and isinstance(arguments[0], str | bytes | os.PathLike):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            if os.path.commonpath([path, folder]) != folder:
                raise Breach(f"{event} {path}")


WATCH = Watch()


def fault_of(target: Target, folder: Path) -> tuple[str, str] | None:
    """Read the files of a target; what went wrong, if anything: its kind and place, and more about it."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        with WATCH.over(folder):
            target.read(folder)
    except target.errors as error:
        if type(error) in target.errors and "\n" in str(error):
            return "more than one line", str(error)
    except (Exception, Breach) as error:
        at = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in at if "metaplax" in frame.filename] or list(at)
        return f"{type(error).__name__} at {Path(ours[-1].filename).name}:{ours[-1].lineno}", str(error)[:200]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) > MEMORY:
        return "memory", f"more than {MEMORY:,} bytes"
    return None


@contextmanager
def quiet(cache: Path) -> Iterator[None]:
    """No warnings, no network, and downloads looked for in an empty folder."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    def stop(*_: object) -> None:
        raise Breach(f"more than {SECONDS} seconds")

    kept = pooch.retrieve, pooch.os_cache, signal.signal(signal.SIGALRM, stop)
    pooch.retrieve, pooch.os_cache = refuse, lambda name: cache / name
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        pooch.retrieve, pooch.os_cache = kept[:2]
        signal.signal(signal.SIGALRM, kept[2])


def campaign(names: list[str], first: int, inputs: int, seed: int = 0) -> dict[str, dict]:
    """Read damaged files of these targets in turn; for each fault how often it was met, first in which input."""
    faults: dict[str, dict] = {}
    with tempfile.TemporaryDirectory() as parent, quiet(Path(parent, "data", "cache")):
        folder = Path(parent, "data")
        # What is not damaged is read, and whatever is imported on demand is then loaded; JSON may be in any of these.
        for encoding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
            "".encode(encoding)
        for name in names:
            place(folder, TARGETS[name].files(bytes))
            TARGETS[name].read(folder)
        for number in range(first, first + inputs):
            name, random = names[number % len(names)], np.random.default_rng((seed, number))
            odd = int(random.integers(100))
            is_odd = odd < 2 + len(LINKS) and mp.data.DataError in TARGETS[name].errors
            place(folder, build(TARGETS[name], random), odd if is_odd else None)
            fault = fault_of(TARGETS[name], folder)
            if fault:
                kind, about = fault
                entry = faults.setdefault(f"{name}: {kind}", {"input": number, "about": about, "met": 0})
                entry["met"] += 1
    return faults


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    options.add_argument("--inputs", type=int, default=2000)
    options.add_argument("--first", type=int, default=0)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--only", choices=TARGETS, nargs="+", default=list(TARGETS))
    given = options.parse_args()

    began = time.monotonic()
    faults = campaign(given.only, given.first, given.inputs, given.seed)
    seconds, peak = time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"inputs": given.inputs, "seconds": round(seconds), "peak_MiB": peak, "faults": faults}, indent=1))
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
