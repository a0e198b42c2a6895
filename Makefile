.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
COMPILE = $(BIN)/uv pip compile --quiet --python-version 3.13 --generate-hashes --only-binary :all: --no-annotate \
	--no-emit-index-url --custom-compile-command 'make lock' $(UPGRADE)

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

$(VENV)/.lock: pyproject.toml $(BIN)/callsheet
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[lock]'
	@touch $@

run: $(BIN)/callsheet ## Start the service with a demo on http://127.0.0.1:8080 (SQLite in ./callsheet-data/)
	@$(BIN)/callsheet serve --demo

test: $(VENV)/.test ## Run the whole test suite, on SQLite and on a real PostgreSQL
	$(BIN)/python -m pytest -q

simulate-many: $(VENV)/.test ## Play simulated months of a busy service (SEEDS=1000, from FIRST=0) and check every promise
	$(BIN)/python tests/simulation/month.py $(or $(FIRST),0) $$(($(or $(FIRST),0) + $(or $(SEEDS),1000)))

prove-timetable: $(VENV)/.test ## Hold every expression against every change of every zone (up to an hour)
	PROVE_TIMETABLE=all $(BIN)/python -m pytest -q tests/callsheet/test_timetable_proof.py --durations=0

prove-deploy: $(VENV)/.test ## Carry out the Dockerfile without Docker, run a container of it, and the unit under a systemd (as root)
	$(BIN)/python -m pytest -q tests/deploy/prove_image.py tests/deploy/prove_unit.py

lint: $(VENV)/.lint ## Check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy tests/typing
	$(BIN)/lint-imports

format: $(VENV)/.lint ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/.lock ## Pin what the image installs, for Linux on x86-64 and ARM (UPGRADE=--upgrade for newer releases)
	$(COMPILE) --python-platform x86_64-manylinux_2_28 --output-file requirements.lock pyproject.toml
	cp requirements.lock $(VENV)/arm.lock
	$(COMPILE) --python-platform aarch64-manylinux_2_28 --output-file $(VENV)/arm.lock pyproject.toml
	cmp requirements.lock $(VENV)/arm.lock
	sed -n 's/^requires = \["\(.*\)"\]$$/\1/p' pyproject.toml | $(COMPILE) --output-file requirements-build.lock -

bench: $(VENV)/.test ## Measure speed and memory beside the floor, in one run
	$(BIN)/python benchmarks/run.py

clean: ## Remove the virtual environment and caches (never the data)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help run test prove-timetable prove-deploy simulate-many lint format lock bench clean
