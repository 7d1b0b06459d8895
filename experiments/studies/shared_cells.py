"""Cells on the shared rollout sets: distilled and scored once, kept in a file."""

import dataclasses
import hashlib
import json
import pathlib
import shutil
from typing import Any

import jax
import numpy as np
from json_lines import Json, compute_once, plain
from shared_sets import PAPER, options_on

from obd_jax import artefacts, runs
from obd_jax.data.cache import locked, sha256
from obd_jax.evaluation import FINAL_SEED
from obd_jax.pipeline import RunSettings, load_problem
from obd_jax.pipeline.distillation import distil, form_of_state, initial_set
from obd_jax.pipeline.preparation import prepare
from obd_jax.pipeline.scores import score
from obd_jax.pipeline.settings import in_its_precision
from obd_jax.pipeline.targets import make_objective, reweight
from obd_jax.reporting import CONSOLE, Clock
from obd_jax.settings import defaults_of, option, to_options, with_options
from obd_jax.types import InvalidInputError


@dataclasses.dataclass(frozen=True)
class CellSettings:
    """Which cells, and where they are kept."""

    data: str = option("../shared/data", "Folder of rollouts and checkpoints.")
    cells: str = option("runs/cells.jsonl", "File of the results so far.")
    sets: tuple[str, ...] = option(tuple(PAPER), "Data sets.")
    seeds: tuple[int, ...] = option((0,), "Seeds.")


def cell_of(settings: RunSettings, set_name: str) -> Json:
    """What identifies a cell: every option, files by their hashes, and the set's name."""
    options = plain(to_options(settings))
    files = ["dataset_path", "teacher_stats", *(["teacher"] if settings.teacher.is_file else [])]
    for name in files:
        if options[name] is not None:
            path = pathlib.Path(options[name])
            if not path.is_file():
                raise InvalidInputError(f"{path} does not exist")
            options[name] = sha256(path)
    own = {name: value for name, value in options.items() if name not in runs.MAY_DIFFER}
    return {"set": set_name, **own}


@in_its_precision
def run_cell(settings: RunSettings, folder: pathlib.Path) -> Json:
    """Distil and score a set; begun in a folder, it resumes there."""
    clock, distillation, scores = Clock(), settings.distillation, settings.scores
    problem = load_problem(settings, CONSOLE)
    prepared = prepare(jax.random.key(settings.run.seed), problem, distillation, CONSOLE)
    objective = make_objective(distillation, prepared, clock)
    objective = reweight(distillation, prepared, objective, clock, CONSOLE, folder)
    synthetic = initial_set(distillation, prepared, objective)
    form = form_of_state(distillation, prepared, synthetic)
    minutes = settings.run.checkpoint_minutes
    with runs.checkpointing(folder, "distil", form, minutes, CONSOLE) as saver:
        state, last = distil(distillation, prepared, objective, synthetic, saver)
    returns = score(
        prepared,
        "synthetic",
        state.synthetic,
        scores.students,
        scores.episodes,
        FINAL_SEED,
        CONSOLE,
    )
    return {
        "mean": float(returns.mean()),
        "per_student": returns.mean(axis=1).tolist(),
        "worst_episode": float(returns.min()),
        "seconds": last["seconds"],
        "steps": last["step"],
        "loss": last["loss"],
        "largest_state": float(np.abs(state.synthetic.observations).max()),
        "provenance": artefacts.provenance(prepared.data, prepared.teacher, prepared.environment),
    }


def cached(settings: RunSettings, set_name: str, path: pathlib.Path) -> Json:
    """The cell's result from the file of cells, where it is appended if it is new.

    A cell that was stopped resumes in a folder beside that file.
    """
    cell = cell_of(settings, set_name)
    digest = hashlib.sha256(json.dumps(cell, sort_keys=True).encode()).hexdigest()[:12]
    folder = path.with_name(f"{path.name}.begun") / digest

    def make() -> Json:
        CONSOLE.note(f"{set_name}, seed {settings.run.seed}")
        return run_cell(settings, folder)

    with locked(folder, CONSOLE.note):
        result = compute_once(path, cell, make, defaults=plain(defaults_of(RunSettings)))
        shutil.rmtree(folder, ignore_errors=True)
    return result


def results_on(
    base: RunSettings, set_name: str, changes: dict[str, Any], cells: CellSettings
) -> list[Json]:
    """Results of the cells on a shared set with some options changed, one for each seed."""
    options = {**options_on(set_name, cells.data), **changes}
    return [
        cached(with_options(base, **{"seed": seed, **options}), set_name, pathlib.Path(cells.cells))
        for seed in cells.seeds
    ]
