# Everything is installed into .venv and nowhere else. `make` alone lists the targets.
# PYTHON=/path/to/python chooses the Python (3.10-3.13) that a new .venv is made with.

.DEFAULT_GOAL := help
.PHONY: help demo test lint format install ci clean FORCE

# What the caller's shell carries must not decide where packages go or which are found.
unexport VIRTUAL_ENV CONDA_PREFIX UV_PROJECT_ENVIRONMENT UV_PYTHON UV_NO_DEV PYTHONHOME PYTHONPATH
unexport PIP_USER PIP_TARGET PIP_PREFIX
export PYTHON

# The stamp holds the folder it was made in: an .venv does not survive being moved or copied with its clone.
STAMP := .venv/.installed
MOVED := $(shell [ ! -e $(STAMP) ] || [ "$$(cat $(STAMP))" = "$$(pwd -P)" ] || echo moved)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

demo: $(STAMP) ## draw photos, train, export, predict and benchmark (5 to 9 minutes, no network once installed)
	@.venv/bin/edgewise demo --out edgewise-demo --overwrite

test: $(STAMP) ## run the tests
	@.venv/bin/pytest

lint: $(STAMP) ## check format, style, types, import layers and the lock file
	.venv/bin/ruff format --check
	.venv/bin/ruff check
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/uv lock --check --offline

format: $(STAMP) ## format the code and mend what ruff can mend
	.venv/bin/ruff format
	.venv/bin/ruff check --fix

install: $(STAMP) ## install everything into .venv (demo, test and lint do it by themselves)
	@:

ci: ## run what continuous integration runs
	@bash .ci/run

clean: ## remove .venv, caches, built wheels and the demo's results
	rm -rf .venv dist build edgewise-demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find runtime export train benchmarks tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml uv.lock .ci/install $(if $(MOVED),FORCE)
	@sh .ci/install

FORCE:
