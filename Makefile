# Everything a contributor does, one target each. Needs Python 3.11 to 3.13 and make; the rest comes from PyPI.

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
# The rules for the template and the state machines, and a run in moto's interpreter, which reads all of their ASL.
DEFINITIONS := test_template or test_state_machines or test_run_succeeds_when_every_job_does

export SAM_CLI_TELEMETRY := 0

.DEFAULT_GOAL := help
.PHONY: help setup run test browser chaos clients pictures check format jar bench smoke clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo '  Options of a command go into ARGS:  make run ARGS=--keep'
	@echo '  Another interpreter goes into PYTHON:  make run PYTHON=python3.12'

setup: ## Make or update .venv and .venv-sam (every target does it first)
	@$(PYTHON) bootstrap.py

run: setup ## Run the main job on this machine, from an upload to the e-mail
	@$(BIN)/emrp demo $(ARGS)

test: setup ## Run the tests: unit, contract, and local with real Spark
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

browser: setup ## Open the run report in chromium (Debian: apt-get install chromium); make test does, too, if it is there
	@command -v chromium chromium-browser google-chrome >/dev/null || { echo 'There is no chromium: apt-get install chromium'; exit 1; }
	$(BIN)/python -m pytest -m browser tests/browser $(ARGS)

pictures: setup ## Take the pictures in docs/images again, from real runs (needs chromium)
	$(BIN)/python -m tests.browser.pictures

chaos: setup ## Break things on purpose, many times; SEED=... breaks the same again
	$(BIN)/python -m pytest -m chaos tests/local/test_chaos.py tests/local/test_chaos_drivers.py tests/local/test_crash.py
	SIMULATED_RUNS=300 $(BIN)/python -m pytest $(if $(SEED),--hypothesis-seed=$(SEED)) tests/unit/simulation
	$(BIN)/python -m tests.local.chaos $(if $(SEED),--seed $(SEED)) $(ARGS)

clients: setup ## Run the tests of large clients, Airflow and Dagster; installs them from PyPI
	$(BIN)/python -m pytest -m clients tests/local/test_real_clients.py $(ARGS)

check: setup ## Check format, lint, types, template and state machines
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	AWS_DEFAULT_REGION=us-east-1 .venv-sam/bin/sam validate --lint
	$(BIN)/python -m pytest -q tests/contract -k '$(DEFINITIONS)'

format: setup ## Format the code and mend what lint can mend
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

jar: setup ## Build the s3:// file system for Spark (needs a JDK)
	$(BIN)/python -m emrp.local.spark.jvm.build

bench: setup ## Measure latency, transitions, overhead, imports and memory against their bars
	$(BIN)/python -m bench

smoke: setup ## Run the main job in a real AWS account, then delete everything; asks first
	@$(BIN)/emrp smoke $(ARGS)

clean: ## Remove the environments, builds and caches
	rm -rf .venv .venv-sam .aws-sam .local .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
