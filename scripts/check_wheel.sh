#!/usr/bin/env bash
# Build the wheel, install it and what it declares to need into a new environment, and run it there.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
unset PYTHONPATH
"${PYTHON:-python3}" -m venv "$place/venv"
pip() { "$place/venv/bin/python" -m pip --quiet --disable-pip-version-check "$@"; }
pip wheel --no-deps --wheel-dir "$place" "$root"
pip install "$place"/*.whl
cd "$place"
venv/bin/python - "$place/venv" <<'PYTHON'
import sys

import metaplax

assert metaplax.__file__.startswith(sys.argv[1]), metaplax.__file__
PYTHON
venv/bin/metaplax run quickstart --preset smoke
