#!/bin/bash
# Google Cloud: wait in the queue for a TPU VM, then run `jobs/tpu_vm.sh` on it.
#
#   ZONE=us-central1-a TYPE=v5litepod-16 BUCKET=gs://mine REPOSITORY=https://... jobs/tpu_queued.sh NAME
set -euo pipefail

name=${1:?usage: jobs/tpu_queued.sh NAME}
: "${ZONE:?set ZONE, for example us-central1-a}"
: "${TYPE:=v5litepod-16}"
: "${VERSION:=v2-alpha-tpuv5-lite}"
: "${POLL_SECONDS:=60}"

gcloud compute tpus queued-resources create "$name" --zone="$ZONE" --node-id="$name" \
  --accelerator-type="$TYPE" --runtime-version="$VERSION" --spot
while true; do
  state=$(gcloud compute tpus queued-resources describe "$name" --zone="$ZONE" \
    --format='value(state.state)')
  echo "$(date +%T) $name: $state"
  case "$state" in
    ACTIVE) break ;;
    FAILED | SUSPENDED) exit 1 ;;
  esac
  sleep "$POLL_SECONDS"
done
exec "$(dirname "$0")/tpu_vm.sh" "$name"
