"""``python -m metaplax`` is the command line."""

import sys

from metaplax.cli import main

if __name__ == "__main__":
    sys.exit(main())
