r"""What a teacher that is trained for a few minutes reaches, beside one of the full training.

    python experiments/studies/quick_teachers.py --out=docs/results/studies/quick_teachers

On each data set each algorithm is trained with `--teacher_minutes`, several seeds, and one is
trained in full. All are rolled out. Trainings are resumed, and results in --out are read, not made
again. The minutes are those of this machine, so give it one core of its own:
`taskset -c 1 env XLA_FLAGS=--xla_cpu_multi_thread_eigen=false python ...`.
"""

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from obd_jax import runs
from obd_jax.cli import define_flags, run_main, settings_from_flags
from obd_jax.data import DataSettings
from obd_jax.pipeline import TrainingSettings, train_in
from obd_jax.pipeline.problem import load_data
from obd_jax.reporting import CONSOLE, Reporter
from obd_jax.settings import at_least, from_options, option, positive, to_options

DATASETS = ("hopper-medium", "walker2d-medium-expert", "halfcheetah-medium")


@dataclasses.dataclass(frozen=True)
class StudySettings:
    """Which data sets, algorithms and seeds, and for how long."""

    datasets: tuple[str, ...] = option(DATASETS, "Data sets.")
    rows: int = option(100_000, "Rows of each.")
    minutes: float = option(3.0, "Minutes of a quick training.")
    quick: tuple[str, ...] = option(("td3_bc", "rebrac"), "Algorithms that are trained quickly.")
    full: tuple[str, ...] = option(("td3_bc",), "Algorithms that are trained in full.")
    seeds: tuple[int, ...] = option((1, 2), "Seeds of the quick trainings.")
    full_seeds: tuple[int, ...] = option((0,), "Seeds of the full trainings.")
    episodes: int = option(20, "Episodes of each score.")
    work: str = option("runs/quick_teachers", "Folder of the trainings.")
    out: str = option("runs/quick_teachers/results", "Folder of the results, a file for each.")

    def __post_init__(self) -> None:
        at_least(1, episodes=self.episodes, rows=self.rows)
        positive(minutes=self.minutes)


class Cell(NamedTuple):
    """A training.

    dataset:   it is trained on.
    algorithm: of `teachers.ALGORITHMS`.
    minutes:   of training; None: in full.
    seed:      of the training.
    """

    dataset: str
    algorithm: str
    minutes: float | None
    seed: int

    @property
    def name(self) -> str:
        """Of its folder and of its result."""
        length = "full" if self.minutes is None else f"{self.minutes:g}min"
        return f"{self.dataset}-{self.algorithm}-{length}-{self.seed}"


def cells(settings: StudySettings) -> Iterator[Cell]:
    """All trainings, the quick ones first, and of those all of a seed before the next."""
    for seed in settings.seeds:
        for algorithm in settings.quick:
            for dataset in settings.datasets:
                yield Cell(dataset, algorithm, settings.minutes, seed)
    for algorithm in settings.full:
        for dataset in settings.datasets:
            for seed in settings.full_seeds:
                yield Cell(dataset, algorithm, None, seed)


def measured(cell: Cell, settings: StudySettings, reporter: Reporter) -> dict[str, Any]:
    """The result of a training, kept in a file."""
    path = pathlib.Path(settings.out) / f"{cell.name}.json"
    config = {"rows": settings.rows, "episodes": settings.episodes, **cell._asdict()}
    if (kept := runs.read_result(path, config, {})) is not None:
        return kept
    chosen = from_options(
        DataSettings,
        {"dataset": cell.dataset, "source": "embedded", "data_rows": settings.rows},
    )
    offline, environment = load_data(chosen, reporter)
    training = TrainingSettings(
        cell.algorithm, minutes=cell.minutes, seed=cell.seed, episodes=settings.episodes
    )
    folder = pathlib.Path(settings.work) / cell.name
    found = train_in(folder, training, environment, offline, reporter, to_options(chosen))
    curve = (folder / "curve.csv").read_text().splitlines()
    results = {**found, "training": found["config"], "config": config, "curve": curve}
    path.parent.mkdir(parents=True, exist_ok=True)
    runs.write_json(path, results)
    return results


def score(results: dict[str, Any]) -> float:
    """Mean normalised return of a teacher."""
    return float(results["returns"]["teacher"]["mean"])


def lines_of(all_results: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The table: a line for each data set and kind of training, its seeds together.

    The share is of the best full training on the data set, whichever algorithm it is of.
    """
    names = "data set", "algorithm", "minutes", "updates", "updates/s", "scores", "mean", "of full"
    yield f"| {' | '.join(names)} | data |"
    yield "|" + "---|" * 9
    groups: dict[tuple[str, str, float | None], list[dict[str, Any]]] = {}
    for results in all_results:
        config = results["config"]
        kind = config["dataset"], config["algorithm"], config["minutes"]
        groups.setdefault(kind, []).append(results)
    best: dict[str, float] = {}
    for (dataset, _, minutes), found in groups.items():
        if minutes is None:
            best[dataset] = max(
                best.get(dataset, -np.inf), float(np.mean([score(r) for r in found]))
            )
    for (dataset, algorithm, minutes), found in sorted(groups.items(), key=lambda g: str(g[0])):
        scores = [score(r) for r in found]
        share = f"{np.mean(scores) / best[dataset]:.0%}" if best.get(dataset, 0) > 0 else ""
        yield (
            f"| {dataset} | {algorithm}{', full' if minutes is None else ''} "
            f"| {np.mean([r['seconds'] for r in found]) / 60:.1f} "
            f"| {np.mean([r['steps'] for r in found]):,.0f} "
            f"| {np.mean([r['steps_per_second'] for r in found]):.0f} "
            f"| {', '.join(f'{each:.1f}' for each in scores)} | {np.mean(scores):.1f} | {share} "
            f"| {found[0]['returns']['data']['mean']:.1f} |"
        )


def run(settings: StudySettings, reporter: Reporter = CONSOLE) -> str:
    """Train what is missing and print the table."""
    table = "\n".join(lines_of([measured(cell, settings, reporter) for cell in cells(settings)]))
    print(table)
    return table


def main() -> None:
    """Entry point."""
    run(settings_from_flags(StudySettings))


if __name__ == "__main__":
    define_flags(StudySettings)
    run_main(main)
