# Two commands on a fresh machine with Python 3.11 and make: `make run` and `make test`.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
OUT ?= runs/$(shell date +%Y%m%d-%H%M%S)
NUMBER ?= 1

.PHONY: venv run results-doc check-results docs test test-slow lint clean
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
	$(BIN)/python experiments/paper/pairs_table.py
	$(BIN)/python experiments/paper/one_set_table.py
	$(BIN)/python experiments/studies/studies_table.py

# Five cells of the committed table, made again and compared with it; another NUMBER, other cells.
check-results: venv
	$(BIN)/python experiments/paper/check_results.py --number=$(NUMBER) --out=$(OUT)

# The documentation in site/, warnings as errors. Its tools are not in requirements.txt, which `make
# test` installs.
docs: $(VENV)/.docs
	$(BIN)/mkdocs build --strict

$(VENV)/.docs: $(STAMP) requirements-docs.txt
	$(BIN)/pip install --quiet --requirement requirements-docs.txt
	touch $@

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest

test-slow: venv
	$(BIN)/python -m pytest -m slow

clean:
	rm -rf $(VENV) build site .cache *.egg-info
