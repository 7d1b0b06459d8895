"""Distil and score once for every value of one setting: a table on the shared rollout sets.

    python experiments/sweep.py --vary=ridge=1e-4,1e-3,1e-2 --sets=hopper-medium --temperature=0

All flags of `run_sdw.py` hold for every cell. A cell that is in --cells already is read, not
repeated, and one that was stopped goes on.
"""

import dataclasses
import hashlib
import json
import pathlib
import shutil
import sys
import typing
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from absl import flags
from config import FREE, Config, preset
from resume import saving
from scoring import FINAL_SEED, score
from setup_run import distil, form_of_state, initial_set, make_goal, prepare, surround
from shared_sets import PAPER, settings

from obd_jax import artefacts, data
from obd_jax.command_line import Clock, config_from_flags, define_flags, kind_of, note, run_main
from obd_jax.types import InvalidInputError

# Of these it is the content that counts.
FILES = ("dataset_path", "teacher", "teacher_stats")


def cell_of(config: Config, sets_name: str) -> dict[str, Any]:
    """What identifies a cell: every setting, and the set's name and hashes instead of paths."""
    plain = json.loads(json.dumps(dataclasses.asdict(config)))
    paths = {name: pathlib.Path(plain[name]) for name in FILES if plain[name]}
    for path in paths.values():
        if not path.is_file():
            raise InvalidInputError(f"{path} does not exist")
    hashes = {name: data.sha256(path) for name, path in paths.items()}
    own = {name: value for name, value in plain.items() if name not in (*FREE, *FILES)}
    return {"set": sets_name, **own, **hashes}


def run_cell(config: Config, folder: pathlib.Path) -> dict[str, Any]:
    """Distil as configured and score the set; begun in a folder, it goes on there."""
    with jax.default_matmul_precision(config.precision):
        return run_precisely(config, folder)


def run_precisely(config: Config, folder: pathlib.Path) -> dict[str, Any]:
    """The cell, in the precision that is set."""
    clock = Clock()
    setup = prepare(config)
    goal = surround(config, setup, make_goal(config, setup, clock), clock, folder)
    synthetic = initial_set(config, setup, goal)
    form = form_of_state(config, setup, synthetic)
    with saving(folder, "distil", form, config.checkpoint_minutes) as saver:
        state, last = distil(config, setup, goal, synthetic, saver)
    returns = score(
        setup, "synthetic", state.synthetic, config.students, config.episodes, FINAL_SEED
    )
    return {
        "mean": float(returns.mean()),
        "per_student": returns.mean(axis=1).tolist(),
        "worst_episode": float(returns.min()),
        "seconds": last["seconds"],
        "steps": last["step"],
        "loss": last["loss"],
        "largest_state": float(np.abs(state.synthetic.observations).max()),
        "provenance": {
            "data": dataclasses.asdict(setup.data.provenance),
            "environment": {"name": setup.environment.name, "backend": setup.environment.backend},
            "software": artefacts.software(),
        },
    }


def cached(config: Config, name: str, path: pathlib.Path) -> dict[str, Any]:
    """The cell's result from the file of cells, where it is appended if it is new.

    A cell that was stopped goes on in a folder beside that file.
    """
    cell = cell_of(config, name)
    digest = hashlib.sha256(json.dumps(cell, sort_keys=True).encode()).hexdigest()[:12]
    folder = path.with_name(f"{path.name}.begun") / digest
    with data.locked(folder, note):
        if path.exists():
            for line in path.read_text().splitlines():
                record = json.loads(line)
                if record["cell"] == cell:
                    return record["result"]
        note(f"{name}, seed {config.seed}")
        result = run_cell(config, folder)
        with path.open("a") as file:
            file.write(json.dumps({"cell": cell, "result": result}) + "\n")
        shutil.rmtree(folder)
    return result


def parse_vary(text: str) -> tuple[str, list[Any]]:
    """Text field=a,b,c -> the field and its values, of the field's type."""
    name, _, values = text.partition("=")
    hints = typing.get_type_hints(Config)
    kind = kind_of(hints[name]) if name in hints else None
    if not values or kind not in (str, int, float):
        raise InvalidInputError(f"--vary takes setting=value,value,...; got {text!r}")
    try:
        return name, [kind(value) for value in values.split(",")]
    except ValueError as error:
        raise InvalidInputError(f"--vary: {name} takes a {kind.__name__}") from error


def changed(base: Config, set_name: str, changes: dict[str, Any]) -> Config:
    """The configuration on a shared set with other settings."""
    return dataclasses.replace(base, **settings(set_name, flags.FLAGS.data), **changes)


def base_config(taken: Sequence[str] = ()) -> Config:
    """Configuration from the flags, with the outer settings of the student.

    Args:
        taken: settings that the script chooses itself.

    Raises:
        InvalidInputError: one of those is given.
    """
    for name in taken:
        if flags.FLAGS[name].present:
            raise InvalidInputError(f"--{name} cannot be given: this script sets it itself")
    given = config_from_flags(Config, {})
    return config_from_flags(Config, preset("default", given.student, given.objective, ""))


def main() -> None:
    """Entry point."""
    name, values = parse_vary(flags.FLAGS.vary)
    base = base_config()
    print(
        f"{'set':<24}{name:>14}{'return':>8}{'worst':>7}  {'per seed':<20}{'loss':>9}{'seconds':>9}"
    )
    for set_name in flags.FLAGS.sets:
        for value in values:
            results = [
                cached(
                    changed(base, set_name, {"seed": int(seed), name: value}),
                    set_name,
                    pathlib.Path(flags.FLAGS.cells),
                )
                for seed in flags.FLAGS.seeds
            ]
            means = [result["mean"] for result in results]
            print(
                f"{set_name:<24}{value!s:>14}{np.mean(means):>8.1f}"
                f"{min(result['worst_episode'] for result in results):>7.0f}"
                f"  {' '.join(f'{mean:.1f}' for mean in means):<20}"
                f"{np.mean([result['loss'] for result in results]):>9.5f}"
                f"{max(result['seconds'] for result in results):>9.1f}",
                flush=True,
            )


def define_cell_flags(sets: list[str]) -> None:
    """Flags of every script that runs cells, beside those of a run."""
    define_flags(Config)
    flags.DEFINE_string("data", "../shared/data", "Folder of rollouts and checkpoints.")
    flags.DEFINE_string("cells", "runs/cells.jsonl", "File of the results so far.")
    flags.DEFINE_list("sets", sets, "Data sets.")
    flags.DEFINE_list("seeds", ["0"], "Seeds.")
    for flag in ("data", "cells", "sets", "seeds"):
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[flag])


if __name__ == "__main__":
    define_cell_flags(list(PAPER))
    flags.DEFINE_string("vary", "seed=0", "setting=value,value,...: one cell for each value.")
    run_main(main)
