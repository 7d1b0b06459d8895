"""The papers' table: every row on every data set, cell by cell; a cell that exists is not repeated.

    python experiments/run_table.py --datasets=hopper-medium --seeds=0,1,2 --families=kernel
    python experiments/results_table.py

A cell is a JSON file in --out, a set one in --sets; the same command goes on where it was stopped.
The protocol is in `docs/results.md`.
"""

import dataclasses
import functools
import itertools
import shutil
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from config import FREE, Config
from resume import saving
from scoring import FINAL_SEED, score, score_teacher
from setup_run import (
    Loaded,
    Setup,
    distil,
    form_of_state,
    initial_set,
    inputs_of,
    load,
    log_densities,
    make_goal,
    prepare,
    surround,
)
from table_cells import PHASE, SELECTED, Cell, TableConfig, cells
from table_seeds import distil_seeds, to_distil

from obd_jax import artefacts, distill, environments, selection, students
from obd_jax.command_line import (
    Clock,
    Progress,
    config_from_flags,
    define_flags,
    note,
    run_main,
)
from obd_jax.evaluation import score_policies
from obd_jax.types import InvalidInputError, Student, SyntheticData

# Steps of an episode that the coreset takes states from, from 0.
SDR_LAST_STEP = 100
EPISODES = 20
CLONE_STEPS = 50_000


def run(table: TableConfig) -> list[str]:
    """Make the cells that are missing; returns the names of those that failed.

    Raises:
        InvalidInputError: an unknown name, or a cell that exists with other settings.
    """
    wanted = cells(table)
    together = table.together
    if together is None:
        together = table.budget_minutes is None and jax.default_backend() != "cpu"
    missing = {dataset: [c for c in group if not c.done()] for dataset, group in wanted.items()}
    count, failed = sum(map(len, missing.values())), []
    progress = Progress("table, cells", interval=0.0)
    number = 0
    for group in missing.values():
        if not group:
            continue
        loaded = load(group[0].config)
        known: dict[Any, Any] = {}
        for _, row in itertools.groupby(group, key=lambda cell: (cell.row, cell.family)):
            siblings = [*row]
            if same := to_distil(siblings, together):
                distil_seeds(same, loaded, known)
            for cell in siblings:
                note(f"{cell.name}:")
                try:
                    content = make(cell, loaded, known)
                    cell.path.parent.mkdir(parents=True, exist_ok=True)
                    artefacts.write_json(cell.path, content, indent=None)
                    shutil.rmtree(cell.set_folder / artefacts.CHECKPOINTS, ignore_errors=True)
                except (distill.DivergedError, FloatingPointError) as error:
                    failed.append(cell.name)
                    note(f"{cell.name} failed: {error}")
                number += 1
                progress(number, count)
    print(f"{count - len(failed)} new cells in {table.out}")
    if failed:
        print(f"failed: {', '.join(failed)}")
    return failed


def make(cell: Cell, loaded: Loaded, known: dict[Any, Any]) -> dict[str, Any]:
    """What a cell's file holds: settings, returns of every kind of student, provenance."""
    clock = Clock()
    with jax.default_matmul_precision(cell.config.precision):
        setup = prepare(cell.config, loaded)
        extra: dict[str, Any] = {}
        if cell.row == "teacher":
            episodes = environments.normalized_score(setup.environment, setup.data.episode_returns)
            extra["data"] = {"mean": float(episodes.mean()), "episodes": len(episodes)}
            with clock("evaluate"):
                returns = {"teacher": score_teacher(setup)}
        elif cell.row == "bc":
            returns = {"mlp": clone(cell.config, setup, clock)}
        else:
            if cell.row not in SELECTED:
                synthetic, extra = distilled(cell, setup, known, clock)
            else:
                with clock("select"):
                    synthetic = selected(cell, setup, known)
            with clock("evaluate"):
                returns = score_family(cell, setup, synthetic)
    return {
        "dataset": cell.dataset,
        "row": cell.row,
        "family": cell.family,
        "seed": cell.seed,
        "returns": {kind: np.round(found, 3).tolist() for kind, found in returns.items()},
        **extra,
        "seconds": clock.seconds,
        "config": dataclasses.asdict(cell.config),
        "provenance": {
            "data": dataclasses.asdict(setup.data.provenance),
            "teacher": dataclasses.asdict(setup.teacher.provenance),
            "environment": {"name": setup.environment.name, "backend": setup.environment.backend},
            "software": artefacts.software(),
        },
    }


def distilled(
    cell: Cell, setup: Setup, known: dict[Any, Any], clock: Clock
) -> tuple[SyntheticData, dict[str, Any]]:
    """The distilled set, which is kept as well, and how its distillation ended."""
    config = cell.config
    goal = surround(config, setup, make_goal(config, setup, clock, known), clock, known=known)
    synthetic = initial_set(config, setup, goal)
    progress = Progress("distil, step")
    total = sum(config.narrow_steps) + config.outer_steps
    form = form_of_state(config, setup, synthetic)
    with artefacts.alone(cell.set_folder):
        artefacts.pin(cell.set_folder, dataclasses.asdict(config), inputs_of(setup), FREE)
        with saving(cell.set_folder, PHASE, form, config.checkpoint_minutes) as saver:
            state, last = distil(
                config,
                setup,
                goal,
                synthetic,
                saver,
                lambda _, record: progress(
                    record["step"], total, record["eta_seconds"], f"loss {record['loss']:.4f}"
                ),
            )
    clock.seconds.update(last.get("seconds_before", {}))
    clock.seconds["distil"] = last["seconds"]
    seeds_together = last.get("seeds_together", [config.seed])
    card = {
        "provenance": {
            "data": dataclasses.asdict(setup.data.provenance),
            "teacher": dataclasses.asdict(setup.teacher.provenance),
            "environment": {"name": setup.environment.name, "backend": setup.environment.backend},
            "seed": config.seed,
            "seeds_together": seeds_together,
            "software": artefacts.software(),
        },
        "config": dataclasses.asdict(config),
        "objective": goal.objective,
        "density": goal.density_card,
        "student": students.to_card(setup.recipe),
    }
    artefacts.save(cell.set_folder, artefacts.DistilledSet(state.synthetic, setup.normalizer, card))
    extra = {
        "density": goal.density_card,
        "outer_steps": last["step"],
        "loss": last["loss"],
        "seeds_together": seeds_together,
    }
    return state.synthetic, extra


def selected(cell: Cell, setup: Setup, known: dict[Any, Any]) -> SyntheticData:
    """N real pairs: at random, or the coreset."""
    own = distill.dbc(setup.data, setup.normalizer)
    if cell.row == "random":
        return distill.choose(setup.keys["random_real"], distill.uniform, own, cell.config.pairs)
    if setup.teacher.value is None:
        raise InvalidInputError("sdr ranks by q*, and the teacher has no critic")
    log_density, _ = log_densities(cell.config, setup, known)
    value = jax.jit(setup.teacher.value)
    pieces = range(0, len(setup.data), 100_000)
    values = [
        np.asarray(value(setup.data.observations[i:j], setup.data.actions[i:j]))
        for i, j in ((i, min(i + 100_000, len(setup.data))) for i in pieces)
    ]
    rows = selection.dual_ranking(
        setup.data.episode_steps,
        np.concatenate(values),
        log_density,
        cell.config.pairs,
        last_step=SDR_LAST_STEP,
    )
    return SyntheticData(own.observations[rows], own.actions[rows])


@functools.cache
def ensemble(student: Student) -> Student:
    """Ten students that act together; the same record every time, so that it is compiled once."""
    return students.ensemble(student, 10)


def score_family(cell: Cell, setup: Setup, synthetic: SyntheticData) -> dict[str, np.ndarray]:
    """Returns [K, E] of every kind of student in the family."""
    if cell.family == "kernel":
        return {"kernel": score(setup, "kernel", synthetic, 1, EPISODES, FINAL_SEED)}
    together = setup._replace(student=ensemble(setup.student))
    return {
        "mlp": score(setup, "mlp", synthetic, 10, EPISODES // 2, FINAL_SEED),
        "ensemble": score(together, "ensemble", synthetic, 3, EPISODES // 2, FINAL_SEED),
    }


def clone(config: Config, setup: Setup, clock: Clock) -> np.ndarray:
    """Returns [1, E] of a network cloned on all data."""
    progress, steps = Progress("clone, step"), CLONE_STEPS
    with clock("clone"):
        params = students.clone(
            setup.keys["students"],
            setup.normalizer.normalize(setup.data.observations),
            jnp.asarray(setup.data.actions),
            hidden_sizes=config.hidden_sizes,
            steps=steps,
            callback=lambda done, loss: progress(done, steps, note=f"loss {loss:.4f}"),
        )
    act = (
        students.MLPRecipe(config.hidden_sizes, 1, "sgd", 0.1, 0.0, "action")
        .student(setup.data.action_size)
        .act
    )

    def policy(params: Any, observations: Any) -> Any:
        return act(params, setup.normalizer.normalize(observations))

    with clock("evaluate"):
        return score_policies(
            policy,
            jax.tree.map(lambda leaf: leaf[None], params),
            setup.environment,
            students=1,
            episodes=EPISODES,
            seed=FINAL_SEED,
            progress=Progress("roll out clone, steps"),
        )


def main() -> None:
    """Entry point."""
    if run(config_from_flags(TableConfig, {})):
        sys.exit(1)


if __name__ == "__main__":
    define_flags(TableConfig)
    run_main(main)
