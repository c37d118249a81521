# Everything a newcomer needs; `make` alone lists it. Needs Python 3.11 or newer, and nothing that runs already.
PYTHON ?= python3
VENV := .venv
BENCH_VENV := .venv-bench
AUDIT_VENV := .venv-audit
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check install --root-user-action=ignore
BENCH_PIP := $(BENCH_VENV)/bin/python -m pip --quiet --disable-pip-version-check install --root-user-action=ignore
ORDERS ?= 40
CHAOS_ORDERS ?= 10000
CHAOS_REPORT ?= chaos.md
SCHEDULES ?= 1000000
SEED ?=
LOCKS ?= requirements.lock requirements-otel.lock requirements-dev.lock bench/requirements.lock

.DEFAULT_GOAL := help
.PHONY: help demo up test test-slow test-poll screenshots test-all coverage simulate chaos bench mutants lint types check fmt lock audit-deps secrets clean

help: ## List what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.run ## Run a stack, place orders, lose a replica, audit it all; ORDERS=40
	$(BIN)/saga demo --orders $(ORDERS)

up: $(VENV)/.run ## Run a stack until Ctrl-C; its data stay in .sagaledger
	$(BIN)/saga up

# Tests with real processes share the machine with each other: one that failed is run again by itself, and said so. What
# fails by itself fails.
PYTEST := $(BIN)/python -m pytest -q
AGAIN := $(PYTEST) --last-failed --last-failed-no-failures none

test: $(VENV)/.dev $(VENV)/.monitoring $(VENV)/.browser ## Run the tests, but for the slow ones
	$(PYTEST) --cache-clear -n auto --dist loadfile -m "not slow" || { echo "once more, what failed, one by one:"; $(AGAIN) -m "not slow"; }

test-slow: $(VENV)/.dev $(VENV)/.monitoring $(VENV)/.browser ## Run the slow tests
	$(PYTEST) --cache-clear -n auto --dist loadfile --timeout 900 -m slow || { echo "once more, what failed, one by one:"; $(AGAIN) --timeout 900 -m slow; }

test-poll: $(VENV)/.dev $(VENV)/.browser ## Run the acceptance tests with NOTIFY switched off
	SAGA_TEST_NOTIFY=off $(BIN)/python -m pytest -q -n auto --dist loadfile -m acceptance tests/acceptance

screenshots: $(VENV)/.dev $(VENV)/.browser ## Take pictures of the pages into build/screenshots, and the README's two anew
	SAGA_TEST_WATCH_S=90 $(PYTEST) tests/acceptance/browser/test_page_views.py
	cp build/screenshots/overview-watched.png docs/images/overview.png
	cp build/screenshots/order-light.png docs/images/order.png

test-all: test test-slow ## Run every test

coverage: $(VENV)/.dev ## Measure what the tests reach of orchestrator/ and sql/; fails below 95 %
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest -q -n auto --dist loadfile -m "not slow"
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

simulate: $(VENV)/.dev ## Simulate faults around the core; SCHEDULES=1000000, or tell one: SEED=n
	$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--schedules $(SCHEDULES))
	$(if $(SEED),,SIMULATION_EXAMPLES=2000 $(BIN)/python -m pytest -q tests/simulation/test_state_machine.py)

chaos: $(VENV)/.dev ## Place orders while everything fails; SEED=7 CHAOS_ORDERS=10000 CHAOS_REPORT=file.md
	$(BIN)/python -m tests.chaos.run $(if $(SEED),--seed $(SEED)) --orders $(CHAOS_ORDERS) --report $(CHAOS_REPORT)

mutants: $(VENV)/.dev ## Plant known bugs one by one in a copy; fails when the tests miss one
	$(BIN)/python tests/mutants.py

lint: $(VENV)/.dev ## Check format and style
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.dev ## Check types, strictly
	$(BIN)/mypy

check: lint types test ## What has to be well before a commit

fmt: $(VENV)/.dev ## Format the code and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: ## Write the lock files anew from pyproject.toml; needs uv
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--extra build pyproject.toml --output-file requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--extra build --extra otel --extra test --extra dev pyproject.toml --output-file requirements-dev.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--constraints requirements.lock --extra build --extra otel pyproject.toml --output-file requirements-otel.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--constraints requirements.lock bench/requirements.in --output-file bench/requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		deploy/audit/requirements.in --output-file deploy/audit/requirements.lock

# 0: nothing is known; 1: something is; 2: the database can't be reached, or does not know a package.
audit-deps: $(AUDIT_VENV)/.made ## Look for known vulnerabilities of what the lock files name
	$(AUDIT_VENV)/bin/python deploy/audit/audit_deps.py $(LOCKS)

bench: $(BENCH_VENV)/.made ## Measure it beside its peers, in 20 minutes; QUICK=1 in 3
	$(BENCH_VENV)/bin/python -m bench $(if $(QUICK),--quick) $(BENCH)

secrets: ## Make the secrets that compose.yaml asks for, in deploy/secrets.env and deploy/secrets
	@$(PYTHON) deploy/make_secrets.py deploy/secrets.env

clean: ## Remove the environment and what tools left; data in .sagaledger stay
	rm -rf $(VENV) $(BENCH_VENV) $(AUDIT_VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Peers get an environment of their own: none of them enters the product's.
$(BENCH_VENV)/.made: requirements-otel.lock bench/requirements.lock pyproject.toml
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_PIP) --require-hashes -r requirements-otel.lock
	$(BENCH_PIP) --require-hashes -r bench/requirements.lock
	$(BENCH_PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(AUDIT_VENV)/.made: deploy/audit/requirements.lock
	$(PYTHON) -m venv $(AUDIT_VENV)
	$(AUDIT_VENV)/bin/python -m pip --quiet --disable-pip-version-check install --root-user-action=ignore --require-hashes \
		-r deploy/audit/requirements.lock
	@touch $@

# The stamp of an environment that `pip` has filled: made anew when what it was made from has changed.
$(VENV)/.run: requirements.lock pyproject.toml | $(VENV)/.made
	$(PIP) --require-hashes -r requirements.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

# The lock is complete, and has what `pyproject.toml` overrides of what its packages ask for.
$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	$(PIP) --no-deps --require-hashes -r requirements-dev.lock
	@touch $@

# Prometheus, for the tests of rules and dashboards.
$(VENV)/.monitoring: tests/get-prometheus.sh | $(VENV)/.made
	@tests/get-prometheus.sh $(VENV)/monitoring
	@touch $@

# A browser, for the tests of the pages.
$(VENV)/.browser: tests/get-chromium.sh | $(VENV)/.made
	@tests/get-chromium.sh
	@touch $@

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	@touch $@
