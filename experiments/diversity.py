"""Is it better to learn from diverse states or from good ones, and at which training loss?

    python experiments/diversity.py --datasets=walker2d-medium-replay,hopper-medium-expert

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
from config import Config
from resume import read_made
from scoring import CURVE_SEED, score
from setup_run import (
    Goal,
    Setup,
    distil,
    initial_set,
    load,
    log_densities,
    make_goal,
    prepare,
    surround,
)

from obd_jax import analysis, artefacts, behavior, distill
from obd_jax.command_line import Clock, config_from_flags, define_flags, field, note, run_main
from obd_jax.types import InvalidInputError, SyntheticData

# Parts of a tenth of the states each, and all of them.
PARTS = ("random", "quality", "diversity", "all", "all, SDW")
SHARE = 0.1
# Outer steps after which a set is measured; all others are multiples of ten.
POINTS = (0, 50, 100, 200, 500, 1000, 2000, 4000)
STATES = 8_000  # That errors are measured on.
SURROUNDING = 0.3  # Deviation of the noise around the teacher's states, normalised units.
EPISODES = 20


@dataclasses.dataclass(frozen=True)
class StudyConfig:
    """What is run; each field is a flag of the same name."""

    out: str = field("docs/results/diversity", "Folder of the results.")
    datasets: str = field("walker2d-medium-replay,hopper-medium-expert", "Separated by commas.")
    seeds: tuple[int, ...] = field((0, 1, 2), "Seeds.")
    parts: str = field(";".join(PARTS), "Parts of the data, separated by semicolons.")
    data_rows: int | None = field(None, "Rows of embedded data; absent: as many as D4RL has.")
    points: tuple[int, ...] = field(POINTS, "Outer steps after which a set is measured.")


def rows_of(part: str, config: Config, setup: Setup, known: dict[Any, Any]) -> np.ndarray:
    """States [SHARE M] of a part, in their order.

    quality: of the episodes with the highest returns. diversity: of the lowest density, but for
    the lowest hundredth of all, which are outliers.
    """
    states = len(setup.data)
    wanted = round(SHARE * states)
    if part == "random":
        return np.sort(np.random.default_rng(config.seed).choice(states, wanted, replace=False))
    if part == "diversity":
        log_density, _ = log_densities(config, setup, known)
        outliers = round(config.floor_quantile * states)
        return np.sort(np.argsort(log_density)[outliers : outliers + wanted])
    starts = setup.data.episode_starts
    ends = np.append(starts, states)[1:]
    # Those of all episodes; `episode_returns` are of the complete ones.
    returns = np.add.reduceat(setup.data.rewards.astype(np.float64), starts)
    best_first = np.argsort(-returns, kind="stable")
    rows = np.concatenate([np.arange(starts[e], ends[e]) for e in best_first])
    return np.sort(rows[:wanted])


def goal_of(part: str, config: Config, setup: Setup, known: dict[Any, Any]) -> Goal:
    """What is distilled from a part."""
    clock = Clock()
    goal = make_goal(config, setup, clock, known)
    if part == "all, SDW":
        weighted = dataclasses.replace(config, temperature=Config.temperature)
        return surround(weighted, setup, goal, clock, known=known)
    if part == "all":
        return goal
    rows = rows_of(part, config, setup, known)
    targets = jax.tree.map(lambda array: array[rows], goal.targets)
    return goal._replace(targets=targets, base=targets)


def measure(
    setup: Setup, synthetic: SyntheticData, held: Any, visited: np.ndarray
) -> dict[str, float]:
    """What a set is worth."""
    params = setup.student.fit(setup.keys["students"], synthetic)

    def act(states):
        return setup.student.act(params, states)

    errors = analysis.state_errors(
        setup.keys["noise"], act, setup.teacher, setup.normalizer, jnp.asarray(visited), SURROUNDING
    )
    returns = score(setup, "point", synthetic, 1, EPISODES, CURVE_SEED)
    return {
        "loss": float(distill.weighted_squared_error(act(held.observations), held)),
        "pivotal": float(errors.pivotal),
        "surrounding": float(errors.surrounding),
        "return": float(returns.mean()),
        "median": float(np.median(returns)),
    }


def study(
    part: str,
    config: Config,
    setup: Setup,
    points: tuple[int, ...],
    visited: np.ndarray,
    known: dict[Any, Any],
) -> list[dict[str, float]]:
    """Distil from a part and measure the set after each of the steps."""
    goal = goal_of(part, config, setup, known)
    held = distill.sample(jax.random.key(config.seed), goal.targets, STATES)
    found = []

    def at(step: int, synthetic: SyntheticData) -> None:
        if step in points:
            found.append({"step": step, **measure(setup, synthetic, held, visited)})
            note(f"{setup.data.provenance.name}, {part}, seed {config.seed}: {found[-1]}")

    start = initial_set(config, setup, goal)
    at(0, start)
    distil(config, setup, goal, start, callback=lambda state, rec: at(rec["step"], state.synthetic))
    return found


def run(config: StudyConfig) -> list[pathlib.Path]:
    """Make the files that are missing; returns all that were asked for.

    Raises:
        InvalidInputError: an unknown part or data set, steps that are no multiples of ten, or a
            file that was made with other settings.
    """
    parts = config.parts.split(";")
    for part in parts:
        if part not in PARTS:
            raise InvalidInputError(f"unknown part {part!r}; known: {'; '.join(PARTS)}")
    if not config.points or min(config.points) < 0 or any(step % 10 for step in config.points):
        raise InvalidInputError(f"points must be multiples of ten, got {config.points}")
    paths = []
    for name in config.datasets.split(","):
        loaded, visited = None, None
        known: dict[Any, Any] = {}
        for seed, part in itertools.product(config.seeds, parts):
            slug = part.replace(", ", "-").lower()
            paths.append(pathlib.Path(config.out) / f"{name}/{slug}-{seed}.json")
            settings = Config(
                dataset=name,
                data_rows=config.data_rows,
                objective="pbc",
                temperature=0.0,
                outer_steps=max(config.points),
                seed=seed,
            )
            kept = read_made(paths[-1], settings)
            if kept is not None:
                measured_at = [point["step"] for point in kept["points"]]
                if measured_at != sorted(config.points):
                    raise InvalidInputError(
                        f"{paths[-1]} was made with --points={measured_at}; give another --out"
                    )
                continue
            loaded = loaded or load(settings)
            with jax.default_matmul_precision(settings.precision):
                setup = prepare(settings, loaded)
                if visited is None:
                    visited = states_of_teacher(setup)
                measured = study(part, settings, setup, config.points, visited, known)
            paths[-1].parent.mkdir(parents=True, exist_ok=True)
            artefacts.write_json(
                paths[-1],
                {
                    "dataset": name,
                    "part": part,
                    "seed": seed,
                    "points": measured,
                    "config": dataclasses.asdict(settings),
                    "provenance": {
                        "data": dataclasses.asdict(setup.data.provenance),
                        "teacher": dataclasses.asdict(setup.teacher.provenance),
                        "environment": {
                            "name": setup.environment.name,
                            "backend": setup.environment.backend,
                        },
                        "software": artefacts.software(),
                    },
                },
            )
    print(f"{len(paths)} files in {config.out}")
    return paths


def states_of_teacher(setup: Setup) -> np.ndarray:
    """States [STATES, D] of the teacher's episodes."""
    act = jax.jit(setup.teacher.act)
    recorded = behavior.roll_out(
        lambda _, states: np.asarray(act(states)), setup.environment, STATES, CURVE_SEED
    )
    return recorded["observations"]


def main() -> None:
    """Entry point."""
    run(config_from_flags(StudyConfig, {}))


if __name__ == "__main__":
    define_flags(StudyConfig)
    run_main(main)
