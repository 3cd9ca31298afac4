# Each target makes the virtual environment and installs what it needs, once.
#
#   make demo                      the first run
#   make test                      all tests
#   make test ARGS="-m 'not slow'"    the fast lane
#   make durations                 which tests are slow, measured anew; for a quiet machine
#   make test JOBS=0               in one process, for a debugger; otherwise three share the files of tests, as most tests wait
#   make test PYTHON=python3.12    another interpreter, in an environment of its own
#   make bench ARGS="P1 P5 --peers joblib,mpire"    some workloads, beside some peers

PYTHON ?= python3
ifeq ($(PYTHON),python3)
VENV ?= .venv
else
VENV ?= .venv-$(notdir $(PYTHON))
endif
ARGS ?=
JOBS ?= 3

python := $(VENV)/bin/python
pip := $(python) -m pip --disable-pip-version-check --quiet install

.PHONY: help demo test durations check bench docs clean

help:
	@echo "make demo    run examples/pipeline.py over the standard library"
	@echo "make test    run all tests (ARGS=... goes to pytest)"
	@echo "make durations    measure all tests, and write down which are slow"
	@echo "make check   ruff, its formatter, mypy --strict, the layers and the public names"
	@echo "make bench   measure beside other pools and pipelines, which are installed for this"
	@echo "make docs    build the manual into doc/_build/html"
	@echo "make clean   remove whatever can be made again"

demo: $(VENV)/ready
	$(python) examples/pipeline.py $(ARGS)

test: $(VENV)/ready-test
	$(python) -m pytest -n $(JOBS) --dist loadfile $(ARGS)

durations: $(VENV)/ready-test
	$(python) -m pytest -n $(JOBS) --dist loadfile --record-slow

check: $(VENV)/ready-check
	$(python) -m ruff check .
	$(python) -m ruff format --check --quiet .
	$(python) -m mypy --strict numap papy
	$(python) -m pytest --quiet tests/test_layers.py tests/test_exports.py

bench: $(VENV)/ready-bench
	$(python) benchmarks/run.py --output benchmarks/results $(ARGS)

docs: $(VENV)/ready-doc
	$(python) -m sphinx -W --keep-going -b html doc doc/_build/html

clean:
	rm -rf .venv .venv-* build dist doc/_build *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps: "made" is the bare environment, "ready" has the project in it, "ready-x" its extra x, too.

$(VENV)/made:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=...")'
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/ready: setup.cfg pyproject.toml | $(VENV)/made
	$(pip) --editable .
	touch $@

$(VENV)/ready-test: $(VENV)/ready
	$(pip) --editable '.[test]'
	touch $@

$(VENV)/ready-check: $(VENV)/ready
	$(pip) --editable '.[test,check]'
	touch $@

$(VENV)/ready-bench: $(VENV)/ready
	$(pip) --editable '.[bench]'
	touch $@

$(VENV)/ready-doc: $(VENV)/ready
	$(pip) --editable '.[doc]'
	touch $@
