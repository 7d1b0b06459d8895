# Two commands on a fresh machine with Python 3.11 and make: `make run` and `make test`.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
OUT ?= runs/$(shell date +%Y%m%d-%H%M%S)

.PHONY: venv run results-doc test test-slow lint clean
venv: $(STAMP)

$(STAMP): requirements.txt setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --requirement requirements.txt
	$(BIN)/pip install --quiet --no-deps --editable .
	touch $@

# The main job on data recorded from the policies of the package; needs no network.
run: venv
	$(BIN)/python experiments/run_sdw.py --dataset=walker2d-medium-expert --source=embedded --out=$(OUT)

results-doc: venv
	$(BIN)/python experiments/paper/results_table.py
	$(BIN)/python experiments/studies/studies_table.py

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest

test-slow: venv
	$(BIN)/python -m pytest -m slow

clean:
	rm -rf $(VENV) build *.egg-info
