"""The main job on the three shared rollout sets, several seeds: one table.

    python experiments/studies/main_job.py --data=../shared/data --out=runs/main_job

A run whose folder already holds results is read, not repeated. Flags after `--` go to
`run_sdw.py`, for example `-- --temperature=0`.
"""

import dataclasses
import pathlib

import numpy as np
from shared_sets import PAPER, refuse_own, result

from obd_jax.cli import define_flags, run_main, settings_from_flags
from obd_jax.evaluation import seeds_interval
from obd_jax.settings import option


@dataclasses.dataclass(frozen=True)
class JobSettings:
    """Which runs, and where."""

    data: str = option("../shared/data", "Folder of rollouts and checkpoints.")
    out: str = option("runs/main_job", "Folder of the run folders.")
    seeds: tuple[int, ...] = option((0, 1, 2), "Seeds.")
    sets: tuple[str, ...] = option(tuple(PAPER), "Data sets.")


def run(job: JobSettings, arguments: list[str]) -> None:
    """Make the runs that are missing and print the table.

    Args:
        job: which runs.
        arguments: flags for each of them.
    """
    refuse_own(arguments)
    out = pathlib.Path(job.out)
    print(
        f"{'data (rollouts of Cal-QL)':<26}{'synthetic':>10}  {'per seed':<22}{'95% interval':>16}"
        f"{'minutes':>9}{'random':>8}{'data':>7}{'teacher':>9}{'paper':>7}"
    )
    for name in job.sets:
        results = [
            result(name, job.data, seed, out / f"{name}-{seed}", arguments) for seed in job.seeds
        ]
        rows = [each["returns"] for each in results]
        students = np.array([row["synthetic"]["per_student"] for row in rows])
        interval = seeds_interval([students.mean(axis=1)])
        shown = "one seed" if interval is None else "[{:.1f}, {:.1f}]".format(*interval)
        per_seed = " ".join(f"{value:.1f}" for value in students.mean(axis=1))
        minutes = max(each["seconds"]["distil"] for each in results) / 60

        def mean(row: str, rows=rows) -> float:
            return float(np.mean([each[row]["mean"] for each in rows]))

        print(
            f"{name:<26}{students.mean():>10.1f}  {per_seed:<22}{shown:>16}"
            f"{minutes:>9.1f}{mean('random_real'):>8.1f}{mean('data'):>7.1f}"
            f"{mean('teacher'):>9.1f}{PAPER[name]:>7.1f}"
        )


def main(arguments: list[str]) -> None:
    """Entry point."""
    run(settings_from_flags(JobSettings), arguments)


if __name__ == "__main__":
    define_flags(JobSettings)
    run_main(main, passes_on=True)
