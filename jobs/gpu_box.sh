#!/bin/bash
# One machine with GPUs: every data set, its sets sharded equally over the GPUs, until all are done.
#
#   OUT=/data/runs SEEDS=0,1,2,3 jobs/gpu_box.sh
set -uo pipefail

: "${PYTHON:=.venv/bin/python}"
: "${OUT:=runs}"
: "${SEEDS:=0,1,2,3}"
: "${DATASETS:=walker2d-medium-expert hopper-medium halfcheetah-medium}"
: "${FLAGS:=}"

for dataset in $DATASETS; do
  out="$OUT/$dataset"
  if [ -e "$out/results.json" ]; then
    continue
  fi
  # shellcheck disable=SC2086  # FLAGS holds several words.
  "$PYTHON" experiments/run_population.py --dataset="$dataset" --seeds="$SEEDS" \
    --out="$out" $FLAGS || exit $?
done
