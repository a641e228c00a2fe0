# One short list of commands. `make demo` and `make test` are all the set-up there is: they need Python 3.11+.
PYTHON ?= python3
VENV   := .venv
RUN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help dev demo test test-slow lint fmt bench bench-large soak build clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 12

dev: $(VENV)/.ready  ## make the virtual environment (the others do it when needed)

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	@touch $@

demo: $(VENV)/.ready  ## two CRMs in, a scorecard in the inbox, on bundled servers
	$(RUN)/syncagent demo

test: $(VENV)/.ready  ## every quick test, no network beyond loopback
	$(RUN)/python -m pytest -n auto -m "not slow"

test-slow: $(VENV)/.ready  ## crashes, large files, the wheel
	$(RUN)/python -m pytest -n auto -m slow

lint: $(VENV)/.ready  ## style and types
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy

fmt: $(VENV)/.ready  ## put the style right
	$(RUN)/ruff check --fix .
	$(RUN)/ruff format .

bench: $(VENV)/.ready  ## how fast: rows a second, seconds per KPI run, MB
	$(RUN)/python -m tests.bench

bench-large: $(VENV)/.ready  ## for people: a million records of each source, a scorecard over six million; memory, time
	$(RUN)/python -m tests.bench.scale
	$(RUN)/python -m tests.bench.large

soak: $(VENV)/.ready  ## for people: the daemon among faults and kills for SOAK_MINUTES (30), then all compared
	$(RUN)/python -m tests.bench.soak

build: $(VENV)/.ready  ## the wheel, in dist/
	$(RUN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:  ## remove what the above made
	rm -rf $(VENV) dist demo-output .pytest_cache .mypy_cache .ruff_cache
