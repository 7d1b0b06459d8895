"""From command to result: seconds of the main job by phase, with nothing cached and with all.

    python benchmarks/first_result.py
    python benchmarks/first_result.py --dataset=hopper-medium --flags=--data_rows=0

Each case is a fresh process. "cold": no recorded data, no compiled programs, no scores of
references. "again": the same command in another folder. "other": another configuration of the same
data. Recording is part of "load". Memory is the peak of the process and of what it started, the
largest of them.
"""

import json
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import time
from typing import Any

from absl import app, flags

_DATASET = flags.DEFINE_string("dataset", "walker2d-medium-expert", "Data set.")
_FLAGS = flags.DEFINE_string("flags", "", "Further flags of the main job, in every case.")
_JSON = flags.DEFINE_boolean("json", False, "One line of JSON for each case.")

CASES = {"cold": "", "again": "", "other": "--temperature=0 --ridge=0.01"}
# Prints the peak memory in kilobytes of the command that follows, and of its children.
_MEASURED = (
    "import resource, subprocess, sys;"
    "code = subprocess.call(sys.argv[1:]);"
    "print('peak', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr);"
    "sys.exit(code)"
)


def measure(folder: pathlib.Path, name: str, options: str) -> dict[str, Any]:
    """One case: seconds to the first line, of each phase and in all; peak gigabytes."""
    out = folder / name
    command = [sys.executable, "-c", _MEASURED, sys.executable, "-m", "obd_jax", "run"]
    command += [f"--dataset={_DATASET.value}", f"--out={out}"]
    command += shlex.split(options) + shlex.split(_FLAGS.value)
    environment = {**os.environ, "OBD_JAX_CACHE": str(folder / "cache")}
    start = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    assert process.stderr is not None
    first, last = None, ""
    for line in process.stderr:
        first = time.perf_counter() - start if first is None else first
        last = line
    if process.wait():
        raise RuntimeError(f"{name}: exit code {process.returncode}")
    results = json.loads((out / "results.json").read_text())
    return {
        "case": name,
        "first line": first,
        **results["seconds"],
        "in all": time.perf_counter() - start,
        "peak GB": int(last.split()[1]) / 1e6,
    }


def main(_: list[str]) -> None:
    """Print a line for each case."""
    with tempfile.TemporaryDirectory() as folder:
        for name, options in CASES.items():
            found = measure(pathlib.Path(folder), name, options)
            if _JSON.value:
                print(json.dumps(found), flush=True)
                continue
            shown = ", ".join(f"{key} {value:.1f}" for key, value in found.items() if key != "case")
            print(f"{name}: {shown}", flush=True)


if __name__ == "__main__":
    app.run(main)
