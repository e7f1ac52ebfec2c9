# `make demo` trains and evaluates on bundled data; `make test` checks the code, and `make test-slow` the rest of it. They
# make .venv first, with the versions in constraints.txt, which `make lock` writes anew; `make versions` tries the oldest,
# the locked and the newest ones.
# `make docs-results` writes README.md, docs/results.md and docs/benchmarks.md from docs/templates and docs/results;
# `make docs` builds the site of all pages in site/, to open as site/index.html.
PYTHON ?= python3
BIN := .venv/bin

# Threads that wait without spinning: on a machine that others use as well, spinning costs many times what it gains.
export OMP_WAIT_POLICY ?= PASSIVE

# Material for MkDocs prints what its makers plan, at every build.
export NO_MKDOCS_2_WARNING ?= 1

.PHONY: install demo test test-slow types lint docs docs-results lock versions
.DEFAULT_GOAL := install

install: .venv/installed

demo: install
	$(BIN)/python train.py pipeline --config configs/digits.yaml --jobs 2
	$(BIN)/python evaluate.py transfer --run runs/digits

test: .venv/installed-dev
	$(MAKE) --no-print-directory --jobs 2 types lint
	$(BIN)/pytest -n auto --dist loadfile

test-slow: .venv/installed-dev
	$(BIN)/pytest -n auto --dist loadfile -m "slow and not gpu"

types: .venv/installed-dev
	$(BIN)/mypy

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m mkdocs build --strict --quiet

docs: .venv/installed-dev
	$(BIN)/python -m mkdocs build --strict

docs-results: .venv/installed
	$(BIN)/python -m docs.render

lock: .venv/installed-dev
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --all-extras --no-annotate \
		--custom-compile-command "make lock" --output-file constraints.txt pyproject.toml

versions: .venv/installed-dev
	$(BIN)/python -m tests.versions

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; give one with: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	@touch $@

.venv/installed-dev: pyproject.toml constraints.txt | .venv/installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@
