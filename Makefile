# `make help` is the tour. Needs only Python 3.11 or newer with venv; uv is used if there.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev
UV := $(shell command -v uv 2>/dev/null)
UV_VERSION := 0.13.9
SOURCES := jums sends users templates_mgmt channels_wechat sandbox bench tests docs/demo docs/images manage.py
ARGS ?=
SEEDS ?=
DB ?= postgres
BROKER ?= redis
T ?=

.PHONY: help
help: ## What can be made
	@echo "make ... "
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1|\2/p' Makefile | while IFS='|' read -r name text; do printf '  %-8s %s\n' "$$name" "$$text"; done
	@echo "PORT and SANDBOX_PORT choose the ports of demo and run (8000, 8001)."

# -- environment -----------------------------------------------------------------------
# $(call install,LOCK FILE): every package with its hash, nothing else.
define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "JUMS needs Python 3.11 or newer as $(PYTHON). Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@[ -x $(PY) ] || { echo "Making $(VENV)"; $(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) cannot make a virtual environment. On Debian and Ubuntu: apt-get install python3-venv" >&2; rm -rf $(VENV); exit 1; }; }
	@echo "Installing the packages of $(1)"
	@if [ -n "$(UV)" ] && "$(UV)" pip install --quiet --python $(PY) --require-hashes -r $(1); then :; else $(PY) -m pip install -qq --no-compile --disable-pip-version-check --require-hashes -r $(1); fi
endef

$(RUNTIME): requirements.txt
	$(call install,requirements.txt)
	@touch $(RUNTIME)

# The development lock contains the runtime one.
$(DEV): requirements-dev.txt requirements.txt
	$(call install,requirements-dev.txt)
	@touch $(RUNTIME) $(DEV)

.PHONY: setup
setup: $(DEV) ## Virtual environment with everything for development
	@echo "Ready: . $(VENV)/bin/activate"

# -- the product -----------------------------------------------------------------------
.PHONY: demo
demo: $(RUNTIME) ## The whole product with a stand-in WeChat and a real send (ARGS=--exit: stop after it)
	@exec $(PY) manage.py demo $(ARGS)

.PHONY: run
run: $(RUNTIME) ## The product for real accounts: web, worker and schedule, embedded database
	@exec $(PY) manage.py up $(ARGS)

# -- checks ----------------------------------------------------------------------------
.PHONY: test
test: $(DEV) lint types ## Everything: style, types, borders, migrations, the suite on SQLite and PostgreSQL
	@$(PY) -m tests.services $(MAKE) suite

# Both databases run even when the first one fails. T=tests/users narrows, ARGS adds.
# What knows no database (the stand-in WeChat, the plain client) is tested once.
.PHONY: suite
suite:
	@failed=0; for database in sqlite postgres; do \
		echo "== The suite on $$database"; \
		once=; [ $$database = sqlite ] || [ -n "$(T)" ] || once="--ignore=tests/sandbox --ignore=tests/wechat"; \
		TEST_DATABASE=$$database $(PY) -m pytest -q -n auto --dist loadgroup --durations=20 --durations-min=4 $$once $(ARGS) $(T) || failed=1; \
	done; exit $$failed

.PHONY: faults
faults: $(DEV) ## Sends while everything breaks (SEEDS="1-5" DB=postgres|sqlite BROKER=redis|rabbitmq|folder ARGS="--people 20000")
	@exec $(PY) -m tests.e2e.faults --seeds "$(SEEDS)" --db "$(DB)" --broker "$(BROKER)" $(ARGS)

.PHONY: lint
lint: $(DEV) ## Style, who imports whom, missing migrations
	@$(BIN)/ruff check --quiet $(SOURCES)
	@$(BIN)/ruff format --quiet --check $(SOURCES) || { echo "Not formatted (make fmt):"; $(BIN)/ruff format --check $(SOURCES) || true; exit 1; }
	@$(BIN)/lint-imports --no-cache > $(VENV)/lint-imports.log || { cat $(VENV)/lint-imports.log; exit 1; }
	@DJANGO_SETTINGS_MODULE=tests.settings $(PY) manage.py makemigrations --check --dry-run --verbosity 1 > $(VENV)/migrations.log || { cat $(VENV)/migrations.log; echo "Models changed without a migration: python manage.py makemigrations"; exit 1; }
	@echo "Style, borders and migrations: fine"

.PHONY: types
types: $(DEV) ## mypy, strict
	@$(BIN)/mypy --no-error-summary && echo "Types: fine"

.PHONY: bench
bench: $(DEV) ## Our speed as ratios to simpler ways, both sides in one run
	@exec $(PY) -m tests.services $(PY) -m bench $(ARGS)

# -- housekeeping ----------------------------------------------------------------------
.PHONY: fmt
fmt: $(DEV) ## Format and mend what ruff can mend
	@$(BIN)/ruff check --quiet --fix $(SOURCES) || true
	@$(BIN)/ruff format --quiet $(SOURCES)

.PHONY: messages
messages: $(DEV) ## Collect the texts to translate into locale/ and compile them
	@$(BIN)/python manage.py messages

.PHONY: lock
lock: $(RUNTIME) ## Write requirements*.txt from requirements*.in (upgrades with ARGS=--upgrade)
	@[ -x $(BIN)/uv ] || [ -n "$(UV)" ] || $(PY) -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@uv=$$( [ -x $(BIN)/uv ] && echo $(BIN)/uv || echo $(UV) ); for name in requirements requirements-dev; do \
		$$uv pip compile --quiet --universal --generate-hashes --no-strip-extras --no-emit-index-url --python-version 3.11 $(ARGS) $$name.in -o $$name.txt; \
	done
