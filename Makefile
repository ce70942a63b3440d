# Needs Python >= 3.11, git and make; everything else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: setup demo test quick-test lint docs tables reproduce lock kill-test fuzz wheel-test

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "metaplax needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	@echo "setting up .venv (once, about a minute)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup
	$(BIN)/metaplax run quickstart

test: setup
	$(BIN)/python -m pytest

# The tests marked `quick`: what a small change breaks first, within two minutes.
quick-test: setup
	$(BIN)/python -m pytest -m quick

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

# Runs all notebooks; ARGS="-D nb_execution_mode=off" runs none.
docs: setup
	$(BIN)/sphinx-build -W --keep-going --quiet $(ARGS) docs site
	@echo "written: site/index.html"

# Write the tables of results in the documentation from docs/results.
tables: setup
	$(BIN)/python -m scripts.docs_tables

# Run everything that docs/results keeps again; ARGS=--list says what that is and how long it takes.
reproduce: setup
	$(BIN)/python -m scripts.reproduce $(ARGS)

# Kill a run at random moments twenty times, resume it, and compare with an unbroken run; then random lives of runs.
kill-test: setup
	$(BIN)/python scripts/kill_and_resume.py --times 20
	$(BIN)/python scripts/run_life.py --sequences 100

# Damage files of every format 100,000 times, and read them.
fuzz: setup
	$(BIN)/python scripts/fuzz_parsers.py --inputs 100000

# Install the wheel with nothing but its declared dependencies, from the package index, and run it.
wheel-test:
	PYTHON=$(PYTHON) scripts/check_wheel.sh

# Needs uv; rewrites requirements.lock.
lock:
	uv pip compile --universal --fork-strategy fewest --python-version 3.11 --group dev pyproject.toml \
		--generate-hashes --no-header --no-annotate --quiet -o requirements.lock
