"""The main job on the three shared rollout sets, several seeds: one table.

    python experiments/main_job.py --data=../shared/data --out=runs/main_job

A run whose folder already holds results is read, not repeated. Flags after `--` go to
`run_sdw.py`, for example `-- --temperature=0`.
"""

import json
import pathlib
import signal
import subprocess
import sys

import numpy as np
from absl import app, flags
from shared_sets import PAPER, settings

from obd_jax.evaluation import stratified_bootstrap_interval

SCRIPT = pathlib.Path(__file__).with_name("run_sdw.py")

_DATA = flags.DEFINE_string("data", "../shared/data", "Folder of rollouts and checkpoints.")
_OUT = flags.DEFINE_string("out", "runs/main_job", "Folder of the run folders.")
_SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds.")
_SETS = flags.DEFINE_list("sets", list(PAPER), "Data sets.")


def run_child(command: list[str]) -> None:
    """Run a command, which is to end in its own way upon SIGTERM and Ctrl-C.

    Raises:
        SystemExit: with the command's exit status, if that is not 0.
    """
    child = subprocess.Popen(command)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    signal.signal(signal.SIGINT, lambda *_: None)  # A terminal sends Ctrl-C to the child as well.
    try:
        status = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if status:
        sys.exit(status if status > 0 else 128 - status)


def result(name: str, seed: str, options: list[str]) -> dict:
    """Results of one run, made now unless they exist."""
    folder = pathlib.Path(_OUT.value) / f"{name}-{seed}"
    path = folder / "results.json"
    if not path.exists():
        command = [
            sys.executable,
            str(SCRIPT),
            *(f"--{flag}={value}" for flag, value in settings(name, _DATA.value).items()),
            f"--seed={seed}",
            f"--out={folder}",
            *options,
        ]
        run_child(command)
    return json.loads(path.read_text())


def main(arguments: list[str]) -> None:
    """Entry point."""
    print(
        f"{'data (rollouts of Cal-QL)':<26}{'synthetic':>10}  {'per seed':<22}{'95% interval':>16}"
        f"{'minutes':>9}{'random':>8}{'data':>7}{'teacher':>9}{'paper':>7}"
    )
    for name in _SETS.value:
        results = [result(name, seed, arguments[1:]) for seed in _SEEDS.value]
        rows = [each["returns"] for each in results]
        students = np.array([row["synthetic"]["per_student"] for row in rows])
        # Strata are the seeds' sets: students are resampled within their own set; where a set
        # has a single student, the sets are what is resampled.
        low, high = stratified_bootstrap_interval(students if students.shape[1] > 1 else students.T)
        per_seed = " ".join(f"{value:.1f}" for value in students.mean(axis=1))
        minutes = max(each["seconds"]["distil"] for each in results) / 60

        def mean(row: str, rows=rows) -> float:
            return float(np.mean([each[row]["mean"] for each in rows]))

        print(
            f"{name:<26}{students.mean():>10.1f}  {per_seed:<22}{f'[{low:.1f}, {high:.1f}]':>16}"
            f"{minutes:>9.1f}{mean('random_real'):>8.1f}{mean('data'):>7.1f}"
            f"{mean('teacher'):>9.1f}{PAPER[name]:>7.1f}"
        )


if __name__ == "__main__":
    app.run(main)
