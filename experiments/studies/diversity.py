"""Is it better to learn from diverse states or from good ones, and at which training loss?

    python experiments/studies/diversity.py --datasets=walker2d-medium-replay,hopper-medium-expert

Distils policy-based cloning (PBC) on parts of a data set, all of the same size, and on all of it
with and without density weights, and measures the set along distillation: loss on its own states,
error on the teacher's states and around them, return. A file that exists is not made again.
"""

import dataclasses
import itertools
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from parts import EPISODES, PARTS, POINTS, SHARE, STATES, SURROUNDING

from obd_jax import analysis, artefacts, distill, environments, recorded, runs
from obd_jax.cli import define_flags, run_main, settings_from_flags
from obd_jax.density import DensitySettings
from obd_jax.evaluation import CURVE_SEED
from obd_jax.pipeline import Distillation, Problem, RunSettings, load_problem
from obd_jax.pipeline.distillation import distil, initial_set
from obd_jax.pipeline.preparation import Prepared, prepare
from obd_jax.pipeline.scores import score
from obd_jax.pipeline.settings import in_its_precision
from obd_jax.pipeline.targets import Cache, Objective, log_densities, make_objective, reweight
from obd_jax.reporting import CONSOLE, Clock
from obd_jax.settings import OptionError, defaults_of, option, to_options, with_options
from obd_jax.types import SyntheticData


@dataclasses.dataclass(frozen=True)
class StudySettings:
    """Which parts of which data sets are distilled, and when sets are measured."""

    out: str = option("docs/results/diversity", "Folder of the results.")
    datasets: tuple[str, ...] = option(
        ("walker2d-medium-replay", "hopper-medium-expert"), "Data sets."
    )
    seeds: tuple[int, ...] = option((0, 1, 2), "Seeds.")
    parts: str = option(";".join(PARTS), "Parts of the data, separated by semicolons.")
    data_rows: int | None = option(None, "Rows of embedded data; absent: as many as D4RL has.")
    points: tuple[int, ...] = option(POINTS, "Outer steps after which a set is measured.")

    def __post_init__(self) -> None:
        for dataset in self.datasets:
            if dataset != "toy":
                environments.parse_dataset(dataset)
        for part in self.part_names:
            if part not in PARTS:
                raise OptionError(f"unknown part {part!r}; known: {'; '.join(PARTS)}")
        if not self.points or min(self.points) < 0 or any(step % 10 for step in self.points):
            raise OptionError(f"{{points}} must be multiples of ten, got {self.points}")

    @property
    def part_names(self) -> list[str]:
        """The parts, one by one."""
        return self.parts.split(";")


def rows_of(
    part: str, seed: int, settings: Distillation, prepared: Prepared, cache: Cache
) -> np.ndarray:
    """States [SHARE M] of a part, in their order.

    quality: of the episodes with the highest returns. diversity: of the lowest density, but for
    the lowest hundredth of all, which are outliers.
    """
    data = prepared.data
    states = len(data)
    wanted = round(SHARE * states)
    if part == "random":
        return np.sort(np.random.default_rng(seed).choice(states, wanted, replace=False))
    if part == "diversity":
        log_density, _ = log_densities(settings, prepared, CONSOLE, cache)
        outliers = round(settings.density.floor_quantile * states)
        return np.sort(np.argsort(log_density)[outliers : outliers + wanted])
    starts = data.episode_starts
    ends = np.append(starts, states)[1:]
    # Those of all episodes; `episode_returns` are of the complete ones.
    returns = np.add.reduceat(data.rewards.astype(np.float64), starts)
    best_first = np.argsort(-returns, kind="stable")
    rows = np.concatenate([np.arange(starts[e], ends[e]) for e in best_first])
    return np.sort(rows[:wanted])


def objective_of(
    part: str, seed: int, settings: Distillation, prepared: Prepared, cache: Cache
) -> Objective:
    """What is distilled from a part."""
    clock = Clock()
    objective = make_objective(settings, prepared, clock, cache)
    if part == "all, SDW":
        weighted = with_options(settings, temperature=DensitySettings().temperature)
        return reweight(weighted, prepared, objective, clock, CONSOLE, cache=cache)
    if part == "all":
        return objective
    rows = rows_of(part, seed, settings, prepared, cache)
    targets = jax.tree.map(lambda array: array[rows], objective.targets)
    return objective._replace(targets=targets, unweighted=targets)


def states_of_teacher(prepared: Prepared, cache: Cache) -> np.ndarray:
    """States [STATES, D] of the teacher's episodes."""
    if "visited" not in cache:
        assert prepared.environment is not None
        assert prepared.teacher is not None
        act = jax.jit(prepared.teacher.act)
        episodes = recorded.roll_out(
            lambda _, states: np.asarray(act(states)), prepared.environment, STATES, CURVE_SEED
        )
        cache["visited"] = episodes["observations"]
    return cache["visited"]


def measure(
    prepared: Prepared, synthetic: SyntheticData, held: Any, visited: np.ndarray
) -> dict[str, float]:
    """What a set is worth."""
    params = prepared.student.fit(prepared.keys["students"], synthetic)

    def act(states):
        return prepared.student.act(params, states)

    assert prepared.teacher is not None
    errors = analysis.state_errors(
        prepared.keys["noise"],
        act,
        prepared.teacher,
        prepared.normalizer,
        jnp.asarray(visited),
        SURROUNDING,
    )
    returns = score(prepared, "point", synthetic, 1, EPISODES, CURVE_SEED, CONSOLE)
    return {
        "loss": float(distill.weighted_squared_error(act(held.observations), held)),
        "pivotal": float(errors.pivotal),
        "surrounding": float(errors.surrounding),
        "return": float(returns.mean()),
        "median": float(np.median(returns)),
    }


@in_its_precision
def study(
    settings: RunSettings, part: str, points: tuple[int, ...], problem: Problem, cache: Cache
) -> list[dict[str, float]]:
    """Distil from a part and measure the set after each of the steps."""
    seed, distillation = settings.run.seed, settings.distillation
    key = jax.random.key(seed)
    prepared = prepare(key, problem, distillation, CONSOLE)
    visited = states_of_teacher(prepared, cache)
    objective = objective_of(part, seed, distillation, prepared, cache)
    held = distill.sample(key, objective.targets, STATES)
    found = []

    def at(step: int, synthetic: SyntheticData) -> None:
        if step in points:
            found.append({"step": step, **measure(prepared, synthetic, held, visited)})
            name = prepared.data.provenance.name
            CONSOLE.note(f"{name}, {part}, seed {seed}: {found[-1]}")

    start = initial_set(distillation, prepared, objective)
    at(0, start)
    distil(
        distillation,
        prepared,
        objective,
        start,
        callback=lambda state, record: at(record["step"], state.synthetic),
    )
    return found


def is_made(path: pathlib.Path, settings: RunSettings, points: tuple[int, ...]) -> bool:
    """Whether a file is there.

    Raises:
        InvalidInputError: it was made with other settings.
    """
    kept = runs.read_result(path, to_options(settings), defaults_of(RunSettings))
    if kept is None:
        return False
    measured_at = [point["step"] for point in kept["points"]]
    if measured_at != sorted(points):
        raise OptionError(f"{path} was made with {{points}}={measured_at}; give another {{out}}")
    return True


def run(wanted: StudySettings) -> list[pathlib.Path]:
    """Make the files that are missing; returns all that were asked for.

    Raises:
        InvalidInputError: a file that was made with other settings.
    """
    paths = []
    for name in wanted.datasets:
        problem: Problem | None = None
        cache: Cache = {}
        for seed, part in itertools.product(wanted.seeds, wanted.part_names):
            slug = part.replace(", ", "-").lower()
            paths.append(pathlib.Path(wanted.out) / f"{name}/{slug}-{seed}.json")
            settings = with_options(
                RunSettings(),
                dataset=name,
                data_rows=wanted.data_rows,
                density_states=200_000,  # As its results have it.
                objective="pbc",
                temperature=0.0,
                outer_steps=max(wanted.points),
                seed=seed,
            )
            if is_made(paths[-1], settings, wanted.points):
                continue
            problem = problem or load_problem(settings, CONSOLE)
            measured = study(settings, part, wanted.points, problem, cache)
            paths[-1].parent.mkdir(parents=True, exist_ok=True)
            content = {
                "dataset": name,
                "part": part,
                "seed": seed,
                "points": measured,
                "config": to_options(settings),
                "provenance": artefacts.provenance(
                    problem.data, problem.teacher, problem.environment
                ),
            }
            runs.write_json(paths[-1], content)
    print(f"{len(paths)} files in {wanted.out}")
    return paths


def main() -> None:
    """Entry point."""
    run(settings_from_flags(StudySettings))


if __name__ == "__main__":
    define_flags(StudySettings)
    run_main(main)
