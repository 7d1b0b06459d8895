"""Seconds to record an embedded data set and to load it again, and the memory of loading.

python benchmarks/data.py --dataset=walker2d-medium-expert
"""

import dataclasses
import os
import resource
import subprocess
import sys
import tempfile
import time

from obd_jax import data
from obd_jax.cli import define_flags, run_main, settings_from_flags
from obd_jax.reporting import Progress, note
from obd_jax.settings import option


@dataclasses.dataclass(frozen=True)
class Config:
    """What is timed; each field is a flag of the same name."""

    dataset: str = option("hopper-medium", "Data set by name.")
    data_rows: int | None = option(None, "Rows; absent: as many as D4RL has.")
    cached: bool = option(False, "Load what is in $OBD_JAX_CACHE, and nothing else.")


def load(config: Config) -> float:
    """Seconds of `data.load`."""
    start = time.perf_counter()
    data.load(config.dataset, "embedded", rows=config.data_rows, note=note, progress=Progress)
    return time.perf_counter() - start


def run(config: Config) -> None:
    """Record into an empty cache, then load in a process of its own, whose memory counts."""
    if config.cached:
        seconds = load(config)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{config.dataset}: loaded in {seconds:.2f} s, {peak:.2f} GiB at most")
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ["OBD_JAX_CACHE"] = folder
        print(f"{config.dataset}: recorded in {load(config):.1f} s", flush=True)
        subprocess.run([sys.executable, *sys.argv, "--cached"], check=True)


def main() -> None:
    """Entry point."""
    run(settings_from_flags(Config))


if __name__ == "__main__":
    define_flags(Config)
    run_main(main)
