"""``metaplax VERB ...``: finds the verb, and turns every expected error into one sentence and an exit code."""

import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from metaplax._version import __version__
from metaplax.cli.console import discard_output, replace_unprintable
from metaplax.cli.parsing import UsageError, nearest
from metaplax.cli.sweep import WORKER, is_conducted_here, sweep

FAILURE = 1
USAGE = 2
STOPPED = 130
BROKEN_PIPE = 141

HELP = Path(__file__).with_name("help.txt").read_text(encoding="utf-8")
VERBS = (
    "list",
    "run",
    "resume",
    "sweep",
    "evaluate",
    "report",
    "compare",
    "compare-estimators",
    "data",
    "infer",
    "rules",
    "bench",
)
MOVED = {"bench-steps": "inner steps are timed by `python -m benchmarks steps` in a checkout"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        Exit code: 0 done, 1 failed, 2 bad input, 130 stopped on request (and can be resumed), 141 nobody reads the
        output any more.
    """
    replace_unprintable()
    try:
        try:
            return _run(list(sys.argv[1:] if arguments is None else arguments))
        finally:
            # There is no standard output if it was closed before Python started.
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        return BROKEN_PIPE
    except OSError as error:
        return _complain(f"{error.filename or 'the output cannot be written'}: {error.strerror or error}", FAILURE)
    finally:
        discard_output()


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(HELP, end="")
        return 0 if arguments else USAGE
    if arguments[0] == "--version":
        print(__version__)
        return 0
    try:
        if arguments[0] not in (*VERBS, WORKER[-1]):
            hint = MOVED.get(arguments[0]) or f"there is no verb {arguments[0]!r}: {nearest(arguments[0], VERBS)}"
            raise UsageError(hint)
        if arguments[0] == "sweep" and is_conducted_here(arguments[1:]):
            return sweep(arguments[1:])
        return explained(arguments[0], arguments[1:])
    except UsageError as error:
        return _complain(error, USAGE)
    except KeyboardInterrupt:
        return _complain("stopped at once; a run that has begun can be resumed from its last checkpoint", STOPPED)


def explained(verb: str, arguments: list[str]) -> int:
    """Do what a verb says, with expected errors turned into one sentence and an exit code."""
    # Imported here, since `metaplax --help` and a misspelt verb should not wait for jax.
    from metaplax.cli import commands
    from metaplax.data import DataError
    from metaplax.experiments import ConfigError
    from metaplax.experiments.limits import MAKE_SMALLER, is_out_of_memory
    from metaplax.learners import IncompatibleError
    from metaplax.runs import CheckpointError, HostsError, Interrupted, RunFolderError
    from metaplax.runs.hosts import leave
    from metaplax.training import DivergedError

    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            return commands.VERBS[verb](arguments) or 0
        except (ConfigError, IncompatibleError, DataError) as error:
            return _complain(error, USAGE)
        except (RunFolderError, CheckpointError, DivergedError, HostsError) as error:
            leave(code := _complain(error, FAILURE))
            return code
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            notes = "; ".join(["", *getattr(error, "__notes__", [])])
            return _complain(f"there is not enough memory: {MAKE_SMALLER}{notes}", FAILURE)
        except Interrupted as error:
            return _complain(error, STOPPED)


def _show_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    if issubclass(category, UserWarning):
        print(f"warning: {message}", file=sys.stderr)


def _complain(error: object, code: int) -> int:
    notes = getattr(error, "__notes__", [])
    with suppress(OSError):
        print(f"metaplax: {'; '.join(' '.join(text.split()) for text in (str(error), *notes))}", file=sys.stderr)
    return code
