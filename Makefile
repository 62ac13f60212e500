# Everything runs in .venv, which is made on first use from the locked versions.
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: demo test test-fast check dev reference lock clean

demo: .venv/installed  ## 250 days from a sandbox through Dagster into .demo/lake
	@mixpanel-etl demo

test: .venv/installed
	pytest -n auto

test-fast: .venv/installed  ## the tests without servers and Dagster runs (docs/testing.md)
	pytest -n auto -m "not slow"

check: .venv/installed  ## lint, formatting, types, import layers, words
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	python -m tests.docs.words

dev: .venv/installed  ## Dagster's UI on http://localhost:3000
	@mixpanel-etl dev

# Nothing but the environment's own stamp tells whether it is complete: an interrupted installation is repeated.
.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	@echo "installing into .venv (a minute or two) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

reference: .venv/installed  ## after a change of the client's operations
	python -m mixpanel_etl.client.operations.reference > docs/reference.md

lock:  ## after a change of the dependencies in pyproject.toml; needs uv
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --no-header --no-annotate --output-file requirements.lock

clean:
	rm -rf .venv .demo
