"""``metaplax VERB ...``: finds the verb, and turns every expected error into one sentence and an exit code."""

import sys
import warnings
from collections.abc import Callable, Sequence

from metaplax._version import __version__
from metaplax.cli.parsing import UsageError, nearest

USAGE = 2
FAILURE = 1
STOPPED = 130

HELP = """usage: metaplax VERB ...

  list                          experiments, with what they show
  run EXPERIMENT [--FIELD ...]  run one; `metaplax run EXPERIMENT --help` lists its fields
  resume DIR                    go on with a run that was stopped or killed
  evaluate DIR --classes N      a finished run on longer streams: accuracy against number of classes
  report DIR ...                write the one-file HTML report of one or more runs
  compare DIR DIR               two runs side by side
  compare-estimators EXPERIMENT every meta-gradient that applies to its learner: error, cost, outcome
  data list|fetch|verify        data sets: what there is, download, check
  bench                         what meta-gradients cost here: time, memory, compilation
  bench-steps [NAME ...]        CPU time of inner steps, beside eager PyTorch

`metaplax VERB --help` says more. All but report take --json."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        Exit code: 0 done, 1 failed, 2 bad input, 130 stopped on request (and can be resumed).
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(HELP)
        return 0 if arguments else USAGE
    if arguments[0] == "--version":
        print(__version__)
        return 0
    try:
        return _verb(arguments[0])(arguments[1:])
    except UsageError as error:
        return _complain(error, USAGE)
    except KeyboardInterrupt:
        return _complain("stopped at once; what the last checkpoint holds can be resumed", STOPPED)


def _verb(name: str) -> Callable[[list[str]], int]:
    # Imported late: `metaplax --help` and a misspelt verb should not wait for jax.
    from metaplax.cli import commands

    verbs = {
        "list": commands.list_experiments,
        "run": commands.run,
        "resume": commands.resume,
        "evaluate": commands.evaluate,
        "report": commands.report,
        "compare": commands.compare,
        "compare-estimators": commands.compare_estimators,
        "data": commands.data,
        "bench": commands.bench,
        "bench-steps": commands.bench_steps,
    }
    if name not in verbs:
        raise UsageError(f"there is no verb {name!r}: {nearest(name, verbs)}")
    return explained(verbs[name])


def explained(command: Callable[[list[str]], int]) -> Callable[[list[str]], int]:
    """The command, with the errors that users cause or meet turned into one sentence."""
    from metaplax.data import DataError
    from metaplax.experiments import ConfigError
    from metaplax.learners import IncompatibleError
    from metaplax.runs import CheckpointError, Interrupted, RunFolderError
    from metaplax.training import DivergedError

    def run(arguments: list[str]) -> int:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            try:
                return command(arguments)
            except (ConfigError, IncompatibleError, DataError) as error:
                return _complain(error, USAGE)
            except (RunFolderError, CheckpointError, DivergedError) as error:
                return _complain(error, FAILURE)
            except Interrupted as error:
                return _complain(error, STOPPED)

    return run


def _show_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    if issubclass(category, UserWarning):
        print(f"warning: {message}", file=sys.stderr)


def _complain(error: object, code: int) -> int:
    notes = getattr(error, "__notes__", [])
    print(f"metaplax: {'; '.join(' '.join(text.split()) for text in (str(error), *notes))}", file=sys.stderr)
    return code
