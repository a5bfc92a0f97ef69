# `make help` lists the targets.
SHELL := bash
.DEFAULT_GOAL := help
VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
CONSTRAINTS := constraints.txt
CLOUDS := --extra aws --extra google --extra azure
SOURCES := dataplane controlplane tollway tollctl migrations tests

.PHONY: help up test test-limits check bench bench-ledger bench-rerating chaos chaos-mutations scale scale-verify format proto proto-baseline lock clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.local: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e '.[local]'
	@touch $@

$(VENV)/.dev: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e '.[local,dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --target $(VENV)/previous-openai --upgrade 'openai>=2,<3'
	@touch $@ $(VENV)/.local

up: $(VENV)/.local ## run the whole stack on this machine, in the foreground
	@exec $(BIN)/tollctl up $(ARGS)

# Some hundred processes are started: each would compile the sources anew where bytecode is not kept.
test: $(VENV)/.dev ## run every test against embedded Postgres and NATS
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

test-limits: $(VENV)/.dev ## run the scenarios of limits in short, on a quiet machine
	$(BIN)/python -m pytest -m campaign $(ARGS)

check: $(VENV)/.dev ## format, lint, types, import directions, schemas, generated-code drift
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.schema_check

bench: $(VENV)/.dev ## measure the gateway beside a bare aiohttp proxy, in turns within one run
	$(BIN)/python -m tests.bench $(ARGS)

bench-ledger: $(VENV)/.dev ## measure what usage costs a data plane per call, a consumer's rate, and its lag behind a steady stream
	$(BIN)/python -m tests.bench.spool
	$(BIN)/python -m tests.bench.ledger $(ARGS)
	$(BIN)/python -m tests.bench.lag

chaos: $(VENV)/.dev ## kill everything under load, and compare the ledger with the truth (docs/chaos.md)
	$(BIN)/python -m tests.chaos $(ARGS)

chaos-mutations: $(VENV)/.dev ## break the ledger on purpose, and see that make chaos finds it each time
	$(BIN)/python -m tests.chaos --mutations $(ARGS)

scale: $(VENV)/.dev ## make a month of 10 million entries and time reports over it
	$(BIN)/python -m tests.scale $(ARGS)

scale-verify: $(VENV)/.dev ## the same, then three re-ratings and a detached day, and compare all sums with the entries
	$(BIN)/python -m tests.scale --verify $(ARGS)

bench-rerating: $(VENV)/.dev ## measure how fast booked usage is rated anew
	$(BIN)/python -m tests.bench.rerating $(ARGS)

format: $(VENV)/.dev ## format and mend what can be mended
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

proto: $(VENV)/.dev ## generate what comes from proto/
	$(BIN)/python -m tests.schema_check --generate

proto-baseline: $(VENV)/.dev ## accept today's schemas as what the breaking check compares with
	$(BIN)/python -m tests.schema_check --write-baseline

lock: $(BIN)/python ## pin dependencies anew: constraints.txt, and with hashes what the image installs
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile -q pyproject.toml --extra local --extra dev $(CLOUDS) --universal --python-version 3.11 \
		--no-annotate --no-header -o $(CONSTRAINTS)
	$(BIN)/uv pip compile -q pyproject.toml -c $(CONSTRAINTS) $(CLOUDS) --universal --python-version 3.12 --generate-hashes \
		--no-annotate --no-header -o deploy/requirements.txt
	$(BIN)/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['build-system']['requires'], sep='\n')" \
		| $(BIN)/uv pip compile -q - --universal --python-version 3.12 --generate-hashes \
		--no-annotate --no-header -o deploy/build-requirements.txt

clean: ## remove what the build made, but no data
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache
