"""How much the default set varies between seeds and between recordings of the same policies.

    python experiments/studies/robustness.py --datasets=walker2d-medium-expert --averages=0,0.25

Every set is scored in the same episodes, which serve for no table. Sets that are in --out are read,
not made again.
"""

import dataclasses
import itertools
import pathlib

import jax
import numpy as np

from obd_jax import artefacts, data, environments, evaluation, runs
from obd_jax.cli import define_flags, run_main, settings_from_flags
from obd_jax.evaluation import CURVE_SEED
from obd_jax.pipeline import Distillation, Problem, preset
from obd_jax.pipeline.scores import score
from obd_jax.pipeline.synthesis import synthesize
from obd_jax.reporting import CONSOLE, Reporter
from obd_jax.settings import at_least, option, to_options, with_options

# Mean returns of sets, by seed, of a data set, --average, --early_steps and a recording.
Found = dict[tuple[str, float, float, int], list[float]]


@dataclasses.dataclass(frozen=True)
class Settings:
    """Which sets are distilled."""

    datasets: tuple[str, ...] = option(("walker2d-medium-expert",), "Data sets.")
    rows: int = option(200_000, "Rows of each.")
    recordings: tuple[int, ...] = option((0, 1), "Seeds of the recordings.")
    seeds: tuple[int, ...] = option((20, 21, 22, 23, 24), "Seeds of the sets.")
    averages: tuple[float, ...] = option((0.0,), "Values of --average.")
    early_steps: tuple[float, ...] = option((0.0,), "Values of --early_steps.")
    outer_steps: int | None = option(None, "Absent: the default's.")
    episodes: int = option(20, "Episodes of each set.")
    out: str = option("runs/robustness", "Folder of the records.")

    def __post_init__(self) -> None:
        for dataset in self.datasets:
            environments.parse_dataset(dataset)
        at_least(1, episodes=self.episodes)


def distillation_of(settings: Settings, average: float, early_steps: float) -> Distillation:
    """The default for kernel students, with an average of the last sets and other weights."""
    changed = with_options(preset("default"), average=average, early_steps=early_steps)
    if settings.outer_steps is None:
        return changed
    return with_options(changed, outer_steps=settings.outer_steps)


def run(settings: Settings, reporter: Reporter = CONSOLE) -> Found:
    """Make the records that are missing and print the table.

    Returns:
        Mean returns of all sets.

    Raises:
        InvalidInputError: a record that was made with other settings.
    """
    found: Found = {}
    for name, recording in itertools.product(settings.datasets, settings.recordings):
        problem: Problem | None = None
        for average, early_steps, seed in itertools.product(
            settings.averages, settings.early_steps, settings.seeds
        ):
            file = f"{recording}-{average:g}-{early_steps:g}-{seed}.json"
            path = pathlib.Path(settings.out) / name / file
            distillation = distillation_of(settings, average, early_steps)
            config = {
                **to_options(distillation),
                "rows": settings.rows,
                "recording": recording,
                "episodes": settings.episodes,
            }
            record = runs.read_result(path, config, {})
            if record is None:
                problem = problem or _problem(name, settings.rows, recording, reporter)
                result = synthesize(jax.random.key(seed), problem, distillation, reporter=reporter)
                returns = score(
                    *(result.prepared, "synthetic", result.synthetic, 1, settings.episodes),
                    *(CURVE_SEED, reporter),
                )
                provenance = artefacts.provenance(
                    problem.data, result.prepared.teacher, problem.environment, seed=seed
                )
                record = {
                    "returns": np.round(returns, 2).tolist(),
                    "loss": result.history[-1]["loss"],
                    "config": config,
                    "provenance": provenance,
                }
                path.parent.mkdir(parents=True, exist_ok=True)
                runs.write_json(path, record, indent=None)
                reporter.note(f"{name}, recording {recording}, seed {seed}: {returns.mean():.1f}")
            found.setdefault((name, average, early_steps, recording), []).append(
                float(np.mean(record["returns"]))
            )
    print(table_of(found))
    return found


def _problem(name: str, rows: int, recording: int, reporter: Reporter) -> Problem:
    offline = data.load(
        *(name, "embedded"),
        rows=rows,
        seed=recording,
        note=reporter.note,
        progress=reporter.progress,
    )
    return Problem(offline, environment=environments.parse_dataset(name)[0])


def table_of(found: Found) -> str:
    """Returns of the sets of each recording, their mean, its interval over seeds, and the worst."""
    lines = [
        "| data set | average | early_steps | recording | sets | mean [95% interval over seeds] "
        "| worst |",
        "|---|---|---|---|---|---|---|",
    ]
    for (name, average, early_steps, recording), means in found.items():
        interval = evaluation.seeds_interval([np.array(means)])
        shown = "" if interval is None else f" [{interval[0]:.0f}, {interval[1]:.0f}]"
        each = " ".join(f"{mean:.0f}" for mean in means)
        lines.append(
            f"| {name} | {average:g} | {early_steps:g} | {recording} | {each} "
            f"| {np.mean(means):.1f}{shown} | {min(means):.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Entry point."""
    run(settings_from_flags(Settings))


if __name__ == "__main__":
    define_flags(Settings)
    run_main(main)
