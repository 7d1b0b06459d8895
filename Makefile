# Two commands on a fresh machine with Python 3.11 and make: `make run` and `make test`.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
SHARED := ../shared/data
STAMP := $(VENV)/.installed
OUT ?= runs/$(shell date +%Y%m%d-%H%M%S)

.PHONY: venv run test test-slow lint clean
venv: $(STAMP)

$(STAMP): requirements.txt setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --requirement requirements.txt
	$(BIN)/pip install --quiet --no-deps --editable .
	touch $@

# The main job: on real rollouts where they are at hand, else on the toy task of the package.
ifneq ($(wildcard $(SHARED)/calql_rollouts/hopper-medium.hdf5),)
JOB := --dataset_path=$(SHARED)/calql_rollouts/hopper-medium.hdf5 --env=hopper \
	--teacher=$(SHARED)/obd_calql/Cal-QL-hopper-medium-v2.pt \
	--teacher_stats=$(SHARED)/d4rl_stats.json --teacher_stats_key=hopper-medium-v2
else
JOB := --dataset=toy
endif

run: venv
	$(BIN)/python experiments/run_sdw.py $(JOB) --out=$(OUT)

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
