# `make run` and `make test` need nothing but Python 3.11+ and make; both set the environment up first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RECIPE ?= recipes/fashion_mnist.yaml
RUN ?= runs/fashion_mnist
STAMP := $(VENV)/.installed

.PHONY: setup run test test-all bench docs lint clean
setup: $(STAMP)

$(STAMP): pyproject.toml runtime/hkd_edge_runtime/__init__.py
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $(STAMP)

run: setup
	$(BIN)/hkd-edge run $(RECIPE) -o $(RUN) --resume

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: setup lint
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist worksteal --durations=10

# The slow ones one by one: some take times, and some need the memory.
test-all: test
	$(BIN)/python -m pytest -m slow --durations=10

# BENCH="--full --run runs/fashion_mnist" measures longer, on that run.
bench: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[bench]"
	$(BIN)/python benchmarks/bench.py $(BENCH)

# The site in build/site; needs no network. First the pages that are made from the code are written anew.
docs: setup
	$(BIN)/python -m docs.tools.pages
	$(BIN)/python -m docs.tools.site

clean:
	rm -rf $(VENV) build dist runs .mypy_cache .pytest_cache .ruff_cache .hypothesis
