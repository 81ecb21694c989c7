# Everything a developer runs. Every target does its own set-up on a fresh clone; run again, it finds nothing to do.
#
#   PYTHON=python3.12                the interpreter that .venv is made with (default: the first 3.11+ on PATH)
#   ARGS="--port 9090"               arguments for `make demo`, `bench`, `ladder`, `fuzz` and `soak`
#   STEELYARD_SYSTEM_PACKAGES=0      never call apt-get, only say what is missing
#   STEELYARD_REQUIRE_ALL=1          a test that is skipped for want of something is a failure (as in .ci/run)

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules

VENV := .venv/bin/python
PIP_INSTALL := $(VENV) -m pip install --quiet --disable-pip-version-check
# The package itself is installed without compiling: .make/compiled does that, and only what changed.
INSTALL_SELF := STEELYARD_COMPILE=0 $(PIP_INSTALL) --no-build-isolation --editable

TWINS := $(shell find src -name '*.pxd')
HOT := setup.py $(TWINS) $(wildcard $(TWINS:.pxd=.py))
# What compiling left behind; should any of it be gone, a twin come or go, or no compiler have been there, it is done again.
INVENTORY := find src -name '*.so' -o -name '*.pxd' | sort
$(shell grep -qs '\.so$$' .make/compiled && cmp -s .make/compiled <($(INVENTORY)) || rm -f .make/compiled)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: install ## install, then three servers and the balancer in front of them on :8080
	@.venv/bin/steelyard demo $(ARGS)

.PHONY: install
install: .make/install .make/compiled ## .venv with Steelyard in it, its hot modules compiled

.PHONY: test
test: .make/dev .make/compiled test-programs ## the whole suite compiled, then unit and property tests interpreted, with coverage
	@$(VENV) -m tools.suite

.PHONY: test-checked
test-checked: .make/dev test-programs ## the suite on a build that checks every index
	@$(VENV) -m tools.compile --checked
	@$(VENV) -m tools.suite --checked

.PHONY: test-programs
test-programs:
	@tools/system_packages.sh test

.PHONY: lint
lint: .make/dev ## format, lint, types, import contracts, .pxd twins
	@failed=0; \
	  .venv/bin/ruff format --check --quiet . || { failed=1; echo "Not as the formatter writes it: make format"; }; \
	  .venv/bin/ruff check --quiet . || failed=1; \
	  .venv/bin/mypy || failed=1; \
	  .venv/bin/lint-imports --no-cache --no-logo || failed=1; \
	  $(VENV) -m tools.twins || failed=1; \
	  exit $$failed

.PHONY: format
format: .make/dev ## rewrite the sources as the formatter wants them
	@.venv/bin/ruff check --fix --silent . || true
	@.venv/bin/ruff format .

.PHONY: bench
bench: .make/bench .make/compiled ## CPU a request beside nginx and HAProxy: a table, JSON and a picture
	@tools/system_packages.sh bench
	@$(VENV) -m bench $(ARGS)

.PHONY: ladder
ladder: .make/bench .make/compiled ## four concurrency models and Steelyard, 2 minutes: docs/ladder.md written anew
	@tools/system_packages.sh bench
	@$(VENV) -m bench.ladder --docs $(ARGS)

.PHONY: fuzz
fuzz: .make/fuzz .make/compiled ## fuzz all that reads bytes from outside, 10 minutes: ARGS="--minutes 2"
	@$(VENV) -m tests.fuzz $(ARGS)

.PHONY: soak
soak: .make/dev .make/compiled ## clients, faults and reloads against real processes, 5 minutes: ARGS="--minutes 1"
	@$(VENV) -m tests.soak $(ARGS)

.PHONY: docs
docs: .make/docs ## the documentation, in docs/_build/html
	@.venv/bin/sphinx-build --quiet --nitpicky --fail-on-warning --keep-going docs docs/_build/html
	@echo "docs/_build/html/index.html"

.PHONY: clean
clean: ## remove what was built; .venv stays
	@rm -rf build dist .make docs/_build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage*
	@find src tests tools bench examples docs \( -name '*.so' -o -name '*.c' -o -name __pycache__ \) -prune -exec rm -rf {} +

.PHONY: clean-all
clean-all: clean ## remove .venv too: back to a fresh clone
	@rm -rf .venv src/*.egg-info

# Stamps: .make/X is newer than all that X was made from.

$(VENV):
	@python=$$(tools/find_python.sh); \
	  "$$python" -c 'import ensurepip' 2>/dev/null || tools/system_packages.sh venv; \
	  echo "Making .venv with $$("$$python" --version)"; \
	  "$$python" -m venv .venv

.make/install: pyproject.toml | $(VENV)
	@mkdir -p .make
	@echo "Installing Steelyard and what it depends on"
	@tools/system_packages.sh compiler
	@$(PIP_INSTALL) 'setuptools>=77' 'Cython>=3.1'
	@$(INSTALL_SELF) .
	@touch $@

.make/dev .make/bench .make/docs .make/fuzz: .make/%: .make/install
	@echo "Installing the tools of '$*'"
	@$(INSTALL_SELF) '.[$*]'
	@touch $@

.make/compiled: .make/install $(HOT)
	@echo "Compiling the hot modules"
	@$(VENV) -m tools.compile
	@$(INVENTORY) >$@
