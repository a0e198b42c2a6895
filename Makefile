.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= $(shell nproc 2>/dev/null || echo 2)# tests that run side by side
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

$(VENV)/.docs: pyproject.toml $(BIN)/callsheet
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $@

$(VENV)/.lock: pyproject.toml $(BIN)/callsheet
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[lock]'
	@touch $@

run: $(BIN)/callsheet ## Start the service with a demo on http://127.0.0.1:8080 (SQLite in ./callsheet-data/)
	@$(BIN)/callsheet serve --demo

test: $(VENV)/.test ## Run the whole test suite, on SQLite and on a real PostgreSQL
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile

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

# those that we are measured beside have environments of their own: APScheduler 3 and 4 cannot share one
.venv-bench/.done: pyproject.toml
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

.venv-bench-aps4/.done: pyproject.toml
	$(PYTHON) -m venv .venv-bench-aps4
	.venv-bench-aps4/bin/pip install --quiet --disable-pip-version-check --editable '.[bench-apscheduler4]'
	@touch $@

dist: $(VENV)/.test ## Build the wheel and the sdist in dist/
	$(BIN)/python -m hatchling build

docs: $(VENV)/.docs ## Make a site of the documentation in ./site/, and fail if a link leads nowhere
	$(BIN)/python tools/site.py

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

bench: $(VENV)/.test .venv-bench/.done .venv-bench-aps4/.done ## Measure speed and memory beside floors and others; write benchmarks/RESULTS.md
	$(BIN)/python benchmarks/run.py --write

bench-quick: $(VENV)/.test .venv-bench/.done .venv-bench-aps4/.done ## Measure less of everything, in less than two minutes; write nothing
	$(BIN)/python benchmarks/run.py --quick

bench-check: $(VENV)/.test ## Fail if a ratio to a floor is worse than half of its target
	$(BIN)/python benchmarks/check.py

clean: ## Remove the virtual environments, what was built and caches (never the data)
	rm -rf $(VENV) .venv-bench .venv-bench-aps4 .bench build dist site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help run test prove-timetable simulate-many lint format docs dist binary prove-binary prove-deploy lock bench bench-quick bench-check clean
