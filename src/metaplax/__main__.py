"""What ``metaplax`` and ``python -m metaplax`` start."""

import sys


def main() -> int:
    """Run the command line; stopped while that is imported, it ends as if stopped later."""
    try:
        from metaplax.cli import main
    except KeyboardInterrupt:
        return 130
    return main()


if __name__ == "__main__":
    sys.exit(main())
