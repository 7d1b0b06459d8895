#!/bin/bash
# Google Cloud: make a TPU VM, one host or a slice, and run a population over all its chips.
#
#   ZONE=us-central1-a TYPE=v5litepod-16 BUCKET=gs://mine jobs/tpu_vm.sh NAME
set -euo pipefail

name=${1:?usage: jobs/tpu_vm.sh NAME}
: "${ZONE:?set ZONE, for example us-central1-a}"
: "${TYPE:=v5litepod-16}"
: "${VERSION:=v2-alpha-tpuv5-lite}"
: "${BUCKET:?set BUCKET, gs://... for the results}"
: "${REPOSITORY:?set REPOSITORY, the address of this repository}"
: "${DATASET:=walker2d-medium-expert}"
: "${SEEDS:=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15}"
: "${FLAGS:=}"

on_all() {
  gcloud compute tpus tpu-vm ssh "$name" --zone="$ZONE" --worker=all --command="$1"
}

if ! gcloud compute tpus tpu-vm describe "$name" --zone="$ZONE" >/dev/null 2>&1; then
  gcloud compute tpus tpu-vm create "$name" --zone="$ZONE" \
    --accelerator-type="$TYPE" --version="$VERSION" --spot
fi
on_all "test -d obd || git clone '$REPOSITORY' obd
  cd obd && python3.11 -m venv .venv && .venv/bin/pip install --quiet '.[tpu]'"
# On a slice every host runs the same command; --distributed finds the others.
on_all "cd obd && .venv/bin/python experiments/run_population.py --distributed \
  --dataset=$DATASET --seeds=$SEEDS --out=runs/$DATASET $FLAGS"
# Process 0 writes, which need not be on the first worker: the others have nothing to copy.
on_all "cd obd && if [ -e runs/$DATASET/results.json ]; then gsutil -m rsync -r runs '$BUCKET/runs'; fi"
