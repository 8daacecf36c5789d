# make train      a virtual environment, the packages, and a training run with the defaults
# make test       the linter and the tests, two at a time; .ci/run tests whole runs after them
# make test-fast  the tests without the slow ones, for the inner loop
# make lint       the linter alone
PYTHON ?= python3
PYTHONS = 3.10 3.11 3.12 3.13
BIN = .venv/bin
PYTEST = $(BIN)/python -m pytest --numprocesses 2 --dist worksteal

train: .venv/runtime
	$(BIN)/python cnn_train.py

test: lint
	$(PYTEST) -m "not whole"

test-fast: .venv/development
	$(PYTEST) -m "not slow and not whole"

lint: .venv/development
	$(BIN)/python -m ruff check .

# The version of a Python, such as 3.12, or nothing if it does not run.
version = $(shell $(1) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
supported = $(filter $(PYTHONS),$(call version,$(1)))

# A Python that cannot work is refused before anything is made. Nothing half-made is left.
.venv/runtime: requirements.txt
	$(if $(call version,$(PYTHON)),,$(error $(PYTHON) does not run. Install Python 3.10 to 3.13, on Debian and Ubuntu with: sudo apt install python3 python3-venv))
	$(if $(call supported,$(PYTHON)),,$(error $(PYTHON) is Python $(call version,$(PYTHON)), and TensorFlow needs Python 3.10 to 3.13. Name one of those, for example: make train PYTHON=python3.12))
	$(if $(shell $(PYTHON) -c 'import ensurepip, venv; print(1)' 2>/dev/null),,$(error $(PYTHON) cannot make a virtual environment. On Debian and Ubuntu: sudo apt install $(notdir $(PYTHON))-venv))
	$(if $(wildcard $(BIN)),$(if $(call supported,$(BIN)/python),,$(error $(BIN)/python does not run or is no Python 3.10 to 3.13. Remove the folder: rm -r .venv)))
	@test -e .venv || new=yes; $(PYTHON) -m venv .venv || { test -z "$$new" || rm -rf .venv; exit 1; }
	@echo "Installing the packages of requirements.txt in .venv: about 600 MB to download, 2.3 GB on the disk"
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.txt
	@touch $@

# The package is installed in place, so that tests and benchmarks import it from anywhere.
.venv/development: .venv/runtime requirements-dev.txt pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

.PHONY: train test test-fast lint
