# The two commands are `make run` and `make test`; both need only Python 3.11 or newer, git and make.

PYTHON ?= python3
VENV ?= .venv
# Which torch. The default is the CPU build; on a machine with a GPU: make run TORCH='torch>=2.9'
TORCH ?= torch==2.13.0+cpu
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help run test lint page clean

help: ## Say what there is
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 8

run: $(VENV)/.installed ## Install, get the models once, start, and print the page's address
	$(BIN)/countersign init
	$(BIN)/countersign models pull
	$(BIN)/countersign run

test: $(VENV)/.installed-dev ## Install what the tests need, and run all of them
	PYTHON="$(BIN)/python" sh tests/install-services.sh
	$(BIN)/python -m pytest

lint: $(VENV)/.installed-dev ## Style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

page: ## Build the workspace's page again (needs Node.js)
	cd bot/workspace/page && npm ci && npm run build

clean: ## Remove the virtual environment; your home folder stays
	rm -rf $(VENV)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'Countersign needs Python 3.11 or newer: make run PYTHON=python3.11'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo 'Python cannot make virtual environments: install the package python3-venv'; exit 1; }
	$(PYTHON) -m venv $(VENV)

# torch first and by itself, so that nothing else chooses a build for us.
$(VENV)/.torch: | $(BIN)/python
	@case "$$(uname -s) $(TORCH)" in \
	  "Linux "*"+cpu") $(BIN)/pip install --quiet "$(TORCH)" 2>/dev/null || \
	    $(BIN)/pip install --quiet --index-url "$(TORCH_INDEX)" "$(TORCH)" ;; \
	  *) torch="$(TORCH)"; $(BIN)/pip install --quiet "$${torch%+cpu}" ;; \
	esac
	@touch $@

$(VENV)/.installed: pyproject.toml | $(VENV)/.torch
	$(BIN)/pip install --quiet --editable '.[local]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/.torch
	$(BIN)/pip install --quiet --editable '.[local,dev]'
	@touch $@ $(VENV)/.installed
