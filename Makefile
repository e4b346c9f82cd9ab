# `make demo` and `make test` set up what they need first: see tools/setup.sh.
# PYTHON is the interpreter that a new .venv is made with; PYTEST_ARGS goes to pytest. PYTHON_BENCH and BENCH_ARGS are
# the same for `make bench`, whose peers need Python 3.12: see tools/bench.sh. PYTHON_LOWEST and PYTHON_NEWEST are what
# `make test-lowest` and `make test-newest` look for, the first that is there: see tools/test-versions.sh.
PYTHON ?= python3
PYTEST_ARGS ?=
PYTHON_LOWEST ?= python3.11
PYTHON_NEWEST ?= python3.13 python3.12
PYTHON_BENCH ?= python3.12
BENCH_ARGS ?=

SETUP = @PYTHON="$(PYTHON)" sh tools/setup.sh
DISPLAYED = sh tools/with-display.sh
BIN = .venv/bin
# most tests wait for a compiler that uses one core
WORKERS = --numprocesses auto --maxprocesses 4 --dist loadfile
FAST = $(WORKERS) -m "not slow" $(PYTEST_ARGS)
VERSIONS = @PYTHON="$(PYTHON)" PYTHON_LOWEST="$(PYTHON_LOWEST)" PYTHON_NEWEST="$(PYTHON_NEWEST)" sh tools/test-versions.sh

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test test-slow test-lowest test-newest lint screenshots bench clean

help:
	@echo "make demo         fit a sample image in napari (without a screen: into demo.png)"
	@echo "make test         the fast tests, on virtual screens"
	@echo "make test-slow    the slow tests"
	@echo "make test-lowest  the fast tests on Python 3.11 with the lowest versions that pyproject.toml allows"
	@echo "make test-newest  the fast tests on Python 3.12 or newer with the newest versions"
	@echo "make lint         ruff, mypy and the import rules"
	@echo "make screenshots  draw the pictures of the documentation again"
	@echo "make bench        measure beside other programs (20 minutes; quick: make bench BENCH_ARGS=--quick)"
	@echo "make clean        remove .venv, the other environments and whatever else these commands made"
	@echo
	@echo "Each sets up what it needs in .venv, and installs system libraries only when run as root."
	@echo "bench, test-lowest and test-newest have environments of their own beside it."
	@echo "Another Python: make clean test PYTHON=python3.12"
	@echo "A part of the tests: make test PYTEST_ARGS='tests/engine -x'"

demo:
	$(SETUP) demo
	@if [ -n "$$DISPLAY" ]; then \
	    $(BIN)/napari-imagefit demo; \
	else \
	    rm -f demo.png; \
	    $(DISPLAYED) $(BIN)/napari-imagefit demo --screenshot demo.png && test -s demo.png && \
	    echo "There is no screen here (DISPLAY is not set): the window is in $(CURDIR)/demo.png"; \
	fi

test:
	$(SETUP) test
	$(BIN)/python -m pytest $(FAST)

test-slow:
	$(SETUP) test
	$(BIN)/python -m pytest $(WORKERS) -m slow $(PYTEST_ARGS)

# without such a Python these two say so and do nothing
test-lowest:
	$(VERSIONS) lowest $(FAST)

test-newest:
	$(VERSIONS) newest $(FAST)

lint:
	$(SETUP) dev
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports --no-logo

screenshots:
	$(SETUP) demo
	$(DISPLAYED) $(BIN)/python docs/make_screenshots.py
	$(DISPLAYED) $(BIN)/python docs/make_live_animation.py
	$(DISPLAYED) $(BIN)/python docs/make_walkthrough_voxels.py
	$(DISPLAYED) $(BIN)/python docs/make_walkthrough_spots.py

bench:
	@PYTHON="$(PYTHON)" PYTHON_BENCH="$(PYTHON_BENCH)" sh tools/bench.sh $(BENCH_ARGS)

clean:
	rm -rf .venv .venv-bench .venv-lowest .venv-newest build dist demo.png
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
