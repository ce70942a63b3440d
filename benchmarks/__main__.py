"""``python -m benchmarks VERB ...``"""

import sys
from collections.abc import Sequence

from benchmarks.episode import episode
from benchmarks.steps import steps
from metaplax.cli.console import replace_unprintable
from metaplax.cli.parsing import UsageError, nearest
from metaplax.learners import IncompatibleError

VERBS = {"episode": episode, "steps": steps}
USAGE = 2
HELP = """usage: python -m benchmarks VERB ...

  episode            the estimators of `metaplax bench`, an eager PyTorch loop, and the least possible time
  steps [NAME ...]   processor time of inner steps and of meta-steps, beside eager PyTorch

`python -m benchmarks VERB --help` says more. Both take --json."""


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit code: 0 done, 2 bad input."""
    replace_unprintable()
    if not arguments or arguments[0] in ("-h", "--help"):
        print(HELP)
        return 0 if arguments else USAGE
    name, *rest = arguments
    try:
        if name not in VERBS:
            raise UsageError(f"there is no verb {name!r}: {nearest(name, VERBS)}")
        return VERBS[name](rest)
    except (UsageError, IncompatibleError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return USAGE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
