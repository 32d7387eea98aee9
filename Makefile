# make help    lists what there is to make.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory --no-builtin-rules
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
REQUIREMENTS ?= requirements.txt
PORT ?= 8000

BIN := $(VENV)/bin
# The stamp is written last, so an interrupted installation goes on where it stopped, and its name
# holds a checksum of what was asked for, so a changed list is installed.
KEY := $(shell cat $(REQUIREMENTS) pyproject.toml | cksum | cut -d' ' -f1)
STAMP := $(VENV)/.installed-$(KEY)
HTML := _build/html
LESSONS := $(wildcard book/*/*.ipynb)
# What a committed lesson keeps: its outputs, counts and ids; not what an editor leaves in it.
NORMAL := --keep-output --keep-count --keep-id --extra-keys "metadata.colab metadata.widgets \
  metadata.language_info.version cell.metadata.execution cell.metadata.id"
# Two workers share the work, so one thread each.
PYTEST := OMP_NUM_THREADS=1 MPLBACKEND=agg $(BIN)/python -m pytest -n 2

.PHONY: help install book serve test lint unit lessons pages bench data normal status clean

help: ## list what there is to make
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

install: $(STAMP) ## make .venv and install what the book and its tests need

$(STAMP): $(REQUIREMENTS) pyproject.toml
	@echo "== install: packages of $(REQUIREMENTS) into $(VENV) (minutes the first time)"
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit(f"Python 3.11 to 3.13 is needed, this is {v[0]}.{v[1]}; choose another with PYTHON=python3.11")'
	@[ -x $(BIN)/python ] && $(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(REQUIREMENTS)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/mircourse doctor --fix
	@rm -f $(VENV)/.installed-*
	@touch $@

book: $(STAMP) ## build the HTML, warnings as errors
	@echo "== book: building the pages (about a minute)"
	@rm -rf $(HTML)/_modules  # Sphinx keeps pages of source that no longer match their links
	@$(BIN)/jupyter-book build . -W --keep-going -n --quiet
	@echo "open $(CURDIR)/$(HTML)/index.html"

serve: book ## build the HTML and serve it on 127.0.0.1 (PORT=8000)
	@echo "== serve: http://127.0.0.1:$(PORT)/ until you press Ctrl-C"
	@$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory $(HTML)

test: lint unit lessons pages ## everything: lint, unit tests, lessons, the book's own tests
	@echo "== test: all passed"

lint: $(STAMP) ## formatting, style, types, and notebooks in their normal form
	@echo "== lint: ruff, mypy, nbstripout"
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/nbstripout $(NORMAL) --verify $(LESSONS)

unit: $(STAMP) ## the package's tests
	@echo "== unit: the package's tests (minutes)"
	@$(PYTEST) tests --ignore=tests/book

lessons: $(STAMP) ## run every lesson with only the wheel installed and compare its outputs
	@echo "== lessons: each runs in an empty folder with only the wheel installed (minutes)"
	@OMP_NUM_THREADS=1 $(BIN)/python book/_tools/outside.py $(LESSONS)

pages: book ## the book's own tests
	@echo "== pages: the book's own tests"
	@$(PYTEST) tests/book

bench: $(STAMP) ## speed and memory beside peers, into data/results/bench-*.json
	@echo "== bench: best on a quiet machine"
	@for file in benchmarks/*.py; do echo "-- $$file"; $(BIN)/python $$file; done

data: $(STAMP) ## make the data that ships again from its sources
	@for part in scores chords recordings soundfont registry; do \
	  echo "== data: $$part"; $(BIN)/python data/build.py $$part; done

normal: $(STAMP) ## bring the lessons into their normal form before a commit
	@$(BIN)/python book/_tools/install_cell.py --write
	@$(BIN)/python book/_tools/alt_text.py $(LESSONS)
	@$(BIN)/python book/_tools/printed.py $(LESSONS)
	@$(BIN)/nbstripout $(NORMAL) $(LESSONS)

status: $(STAMP) ## measure each lesson's time and memory, into data/results/bench-lessons.json
	@echo "== status: running every lesson alone"
	@$(BIN)/python book/_tools/status.py $(LESSONS)

clean: ## remove what was built; .venv stays
	@rm -rf _build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
