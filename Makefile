# make train      a virtual environment, the packages, and a training run with the defaults
# make test       the linter and every test, two at a time
# make test-fast  the tests without the slow ones, for the inner loop
# make lint       the linter alone
PYTHON ?= python3
BIN = .venv/bin
PYTEST = $(BIN)/python -m pytest --numprocesses 2 --dist worksteal

train: .venv/runtime
	$(BIN)/python cnn_train.py

test: lint
	$(PYTEST)

test-fast: .venv/development
	$(PYTEST) -m "not slow"

lint: .venv/development
	$(BIN)/ruff check .

.venv/runtime: requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

# The package is installed in place, so that tests and benchmarks import it from anywhere.
.venv/development: .venv/runtime requirements-dev.txt pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

.PHONY: train test test-fast lint
