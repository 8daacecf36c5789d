# make train    a virtual environment, the packages, and a training run with the defaults
# make test     the linter and every test, two at a time
PYTHON ?= python3
BIN = .venv/bin

train: .venv/runtime
	$(BIN)/python cnn_train.py

test: .venv/development
	$(BIN)/ruff check .
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

.venv/runtime: requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/development: .venv/runtime requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

.PHONY: train test
