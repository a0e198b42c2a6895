.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/callsheet: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.test: pyproject.toml $(BIN)/callsheet
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

$(VENV)/.lint: pyproject.toml $(BIN)/callsheet
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[lint]'
	@touch $@

run: $(BIN)/callsheet ## Start the service with a demo on http://127.0.0.1:8080 (SQLite in ./callsheet-data/)
	@$(BIN)/callsheet serve --demo

test: $(VENV)/.test ## Run the whole test suite, on SQLite and on a real PostgreSQL
	$(BIN)/python -m pytest -q

simulate-many: $(VENV)/.test ## Play simulated months of a busy service (SEEDS=1000, from FIRST=0) and check every promise
	$(BIN)/python tests/simulation/month.py $(or $(FIRST),0) $$(($(or $(FIRST),0) + $(or $(SEEDS),1000)))

prove-timetable: $(VENV)/.test ## Hold every expression against every change of every zone (up to an hour)
	PROVE_TIMETABLE=all $(BIN)/python -m pytest -q tests/callsheet/test_timetable_proof.py --durations=0

lint: $(VENV)/.lint ## Check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy tests/typing
	$(BIN)/lint-imports

format: $(VENV)/.lint ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

dist: $(VENV)/.test ## Build the wheel and the sdist in dist/
	$(BIN)/python -m hatchling build

BUILD := build/binary
SOURCES := $(shell find actors callsheet storage web deploy/binary -type f -not -name '*.pyc')

$(BUILD)/.ready: pyproject.toml
	$(PYTHON) -m venv --clear $(BUILD)
	$(BUILD)/bin/pip install --quiet --disable-pip-version-check '.[binary]'
	@touch $@

dist/callsheet: $(BUILD)/.ready $(SOURCES)
	$(BUILD)/bin/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --force-reinstall .
	$(BUILD)/bin/pyinstaller --noconfirm --log-level ERROR --workpath build/pyinstaller deploy/binary/callsheet.spec

binary: dist/callsheet ## Build the one-file binary dist/callsheet, which needs no Python (a minute or two)

prove-binary: dist/callsheet $(VENV)/.test ## Run the one-file binary where there is no Python, stop it and kill it
	$(BIN)/python -m pytest -q tests/service/binary/prove_*.py

bench: $(VENV)/.test ## Measure speed and memory beside the floor, in one run
	$(BIN)/python benchmarks/run.py

clean: ## Remove the virtual environment, what was built and caches (never the data)
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help run test prove-timetable simulate-many lint format dist binary prove-binary bench clean
