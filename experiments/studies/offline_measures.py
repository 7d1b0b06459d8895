r"""How well measures without an environment rank policies by the returns that they earn.

    python experiments/studies/offline_measures.py --out=docs/results/studies/offline_measures

On each data set a tenth of the episodes is held out. Kernel students of all qualities are made from
the rest: of sets along one distillation, and of random real pairs, 16 to 1,024, with the teacher's
labels. Each is rolled out, and measured on the held-out episodes. Results in --out are read, not
made again.
"""

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from scipy.stats import spearmanr

from obd_jax import artefacts, distill, runs
from obd_jax.cli import define_flags, run_main, settings_from_flags
from obd_jax.evaluation import CURVE_SEED
from obd_jax.pipeline import Distillation, RunSettings, load_problem
from obd_jax.pipeline.distillation import initial_set, make_distiller, stages_of
from obd_jax.pipeline.offline import measure, students_of
from obd_jax.pipeline.preparation import Prepared, prepare
from obd_jax.pipeline.scores import score
from obd_jax.pipeline.targets import Objective, make_objective
from obd_jax.reporting import CONSOLE, Clock, Reporter
from obd_jax.settings import OptionError, at_least, from_options, option
from obd_jax.types import SyntheticData

DATASETS = tuple(
    f"{task}-{kind}"
    for task in ("hopper", "halfcheetah", "walker2d")
    for kind in ("medium", "medium-replay", "medium-expert")
)
SIZES = (16, 32, 64, 128, 256, 512, 1024)
# Measure -> whether more of it is better.
MEASURES = {
    "action_error": False,
    "rarest": False,
    "commonest": False,
    "teacher_preferred": False,
    "advantage_lost": False,
    "fitted_q": True,
}


@dataclasses.dataclass(frozen=True)
class StudySettings:
    """Which data sets, and how policies are made and judged."""

    datasets: tuple[str, ...] = option(DATASETS, "Data sets.")
    rows: int = option(200_000, "Rows of each; 0: as many as D4RL has.")
    out: str = option("runs/offline_measures", "Folder of the results, a file for each data set.")
    holdout: float = option(0.1, "Share of the episodes that are held out.")
    sets: int = option(10, "Sets along a distillation, at steps in a geometric row.")
    steps: int = option(2_500, "Outer steps of the distillation.")
    draws: int = option(2, "Random sets of each size.")
    episodes: int = option(20, "Episodes of each policy.")
    fqe_steps: int = option(3_000, "Steps of fitted Q evaluation; 0: none.")
    seed: int = option(0, "Seed.")

    def __post_init__(self) -> None:
        if not 0 < self.holdout < 1:
            raise OptionError(f"{{holdout}} must be in (0, 1), got {self.holdout}")
        at_least(1, sets=self.sets, steps=self.steps, draws=self.draws, episodes=self.episodes)


def distilled_sets(
    settings: StudySettings, prepared: Prepared, objective: Objective, reporter: Reporter
) -> dict[str, SyntheticData]:
    """Sets along a distillation, by name."""
    chosen = from_options(Distillation, {"outer_steps": settings.steps, "temperature": 0.0})
    (stage,) = stages_of(chosen, prepared)
    first = min(10, settings.steps)
    wanted = list(np.geomspace(first, settings.steps, settings.sets).round().astype(int))
    found: dict[str, SyntheticData] = {}
    progress = reporter.progress("distil, step")

    def keep(state: Any, record: dict[str, Any]) -> None:
        progress(record["step"], settings.steps, record["eta_seconds"], "")
        # The first set that has had as many steps as are wanted next.
        if wanted and record["step"] >= wanted[0]:
            while wanted and record["step"] >= wanted[0]:
                wanted.pop(0)
            found[f"distilled, {record['step']} steps"] = jax.tree.map(np.asarray, state.synthetic)

    distill.train(
        prepared.keys["distil"],
        make_distiller(chosen, stage),
        objective.targets,
        initial_set(chosen, prepared, objective),
        steps=stage.steps,
        batch_size=chosen.outer.batch_size,
        callback=keep,
    )
    return found


def random_sets(settings: StudySettings, objective: Objective) -> dict[str, SyntheticData]:
    """Random real states with the teacher's actions, by name."""
    found = {}
    for number in range(settings.draws):
        for size in SIZES:
            key = jax.random.fold_in(jax.random.key(settings.seed), 10_000 * number + size)
            pool = objective.unweighted
            found[f"{size} random pairs, {number}"] = distill.choose(
                key, distill.uniform, pool, min(size, len(pool.weights))
            )
    return found


def measured(dataset: str, settings: StudySettings, reporter: Reporter) -> dict[str, Any]:
    """Returns and measures of all policies on a data set, kept in a file."""
    path = pathlib.Path(settings.out) / f"{dataset}.json"
    config = {k: v for k, v in dataclasses.asdict(settings).items() if k not in ("datasets", "out")}
    if (kept := runs.read_result(path, config, {})) is not None:
        return kept
    own = from_options(
        RunSettings,
        {"dataset": dataset, "data_rows": settings.rows, "holdout": settings.holdout},
    )
    distillation = from_options(Distillation, {"temperature": 0.0})
    with jax.default_matmul_precision(distillation.precision):
        problem = load_problem(own, reporter)
        prepared = prepare(jax.random.key(settings.seed), problem, distillation, reporter)
        objective = make_objective(distillation, prepared, Clock(), {})
        sets = {
            **distilled_sets(settings, prepared, objective, reporter),
            **random_sets(settings, objective),
        }
        returns = {
            name: float(
                score(prepared, name, each, 1, settings.episodes, CURVE_SEED, reporter).mean()
            )
            for name, each in sets.items()
        }
        acts = {name: students_of(prepared, each, 1) for name, each in sets.items()}
        found = measure(prepared, acts, settings.fqe_steps, reporter)
    results = {
        "dataset": dataset,
        "rows": {
            name: {"return": returns[name], "measures": found["policies"][name]} for name in sets
        },
        "teacher": found["policies"].get("teacher"),
        "held_out": found["held_out"],
        "config": config,
        "provenance": artefacts.provenance(
            prepared.data, prepared.teacher, prepared.environment, seed=settings.seed
        ),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    runs.write_json(path, results)
    return results


def value_of(measures: dict[str, Any], name: str) -> float | None:
    """A measure by its name in the table; None: it was not made."""
    if name in ("rarest", "commonest"):
        parts = measures.get("by_density")
        return None if parts is None else parts[0 if name == "rarest" else -1]
    found = measures.get(name)
    return found["mean"] if isinstance(found, dict) else found


def correlations(results: dict[str, Any]) -> dict[str, float | None]:
    """Spearman's rank correlation of each measure, better ones higher, with the return."""
    rows = results["rows"].values()
    returns = [row["return"] for row in rows]
    vary = len(returns) > 2 and np.ptp(returns) > 0
    found: dict[str, float | None] = {}
    for name, more_is_better in MEASURES.items():
        values = [value_of(row["measures"], name) for row in rows]
        numbers = np.array([np.nan if value is None else value for value in values], float)
        if not vary or np.isnan(numbers).any() or np.ptp(numbers) == 0:
            found[name] = None
            continue
        found[name] = float(spearmanr(numbers if more_is_better else -numbers, returns)[0])
    return found


def lines_of(all_results: list[dict[str, Any]]) -> Iterator[str]:
    """The table: a line for each data set, and their mean."""
    yield f"| data set | policies | returns | {' | '.join(MEASURES)} |"
    yield "|" + "---|" * (len(MEASURES) + 3)
    columns: dict[str, list[float]] = {name: [] for name in MEASURES}
    for results in all_results:
        found, returns = correlations(results), [r["return"] for r in results["rows"].values()]
        for name, value in found.items():
            columns[name] += [] if value is None else [value]
        cells = ["" if value is None else f"{value:.2f}" for value in found.values()]
        spread = f"{min(returns):.0f} to {max(returns):.0f}"
        yield f"| {results['dataset']} | {len(returns)} | {spread} | {' | '.join(cells)} |"
    means = [f"{np.mean(values):.2f}" if values else "" for values in columns.values()]
    yield f"| mean |  |  | {' | '.join(means)} |"


def run(settings: StudySettings, reporter: Reporter = CONSOLE) -> str:
    """Measure what is missing and print the table."""
    found = [measured(dataset, settings, reporter) for dataset in settings.datasets]
    table = "\n".join(lines_of(found))
    print(table)
    return table


def main() -> None:
    """Entry point."""
    run(settings_from_flags(StudySettings))


if __name__ == "__main__":
    define_flags(StudySettings)
    run_main(main)
