"""Cells of the papers' table that differ in their seeds, distilled in one program."""

import contextlib
import dataclasses
import json
import pathlib
import shutil
from typing import Any

import jax
import jax.numpy as jnp
from config import FREE
from resume import saving
from setup_run import (
    Loaded,
    Setup,
    form_of_state,
    inputs_of,
    make_goal,
    place_of_end,
    prepare,
    split_seed,
    surround,
)
from table_cells import PHASE, Cell
from together import distil_together

from obd_jax import artefacts, distill
from obd_jax.command_line import Clock, Progress, note
from obd_jax.types import InvalidInputError


def folder_of(cell: Cell) -> pathlib.Path:
    """Where the seeds of the cell's row are at work together."""
    return cell.set_folder.with_name(f"{cell.row}-{cell.family}-together")


def to_distil(siblings: list[Cell], together: bool) -> list[Cell]:
    """Cells that are next distilled in one program; none if it would be less than two.

    Args:
        siblings: cells of one row, family and data set that are to be made.
        together: whether those not begun are; those that were stopped together are in any case.

    Raises:
        InvalidInputError: some of the seeds that were stopped together are not to be made.
    """
    path = folder_of(siblings[0]) / "config.json"
    if path.exists():
        seeds = json.loads(path.read_text())["seeds"]
        if missing := {*seeds} - {cell.seed for cell in siblings}:
            raise InvalidInputError(
                f"{path.parent} is of seeds {seeds}; ask for {sorted(missing)} too, or remove it"
            )
        return [cell for cell in siblings if cell.seed in seeds]
    new = [cell for cell in siblings if together and cell.distilled and not cell.begun()]
    return new if len(new) > 1 else []


def distil_seeds(siblings: list[Cell], loaded: Loaded, known: dict[Any, Any]) -> None:
    """Distil the sets of cells in one program, each as its own seed alone would have it.

    Each is left as if it had been distilled alone and stopped at its end, but for one that has met
    numbers that are not finite, which is left to do so alone.

    Args:
        siblings: of `to_distil`.
        loaded: their data and teacher.
        known: what earlier cells of the data set computed; it is used and added to.

    Raises:
        InvalidInputError: one of their folders has other settings, or another process at work.
    """
    first, seeds = siblings[0], [cell.seed for cell in siblings]
    with contextlib.ExitStack() as stack:
        stack.enter_context(jax.default_matmul_precision(first.config.precision))
        setup = prepare(first.config, loaded)
        folder, inputs = folder_of(first), inputs_of(setup)
        own_settings = [(cell.set_folder, dataclasses.asdict(cell.config)) for cell in siblings]
        settings = {**dataclasses.asdict(first.config), "seeds": seeds}
        for place, pinned in (*own_settings, (folder, settings)):
            stack.enter_context(artefacts.alone(place))
            artefacts.pin(place, pinned, inputs, FREE)

        configs = [cell.config for cell in siblings]
        setups = [setup._replace(keys=split_seed(seed)) for seed in seeds]
        clocks = [Clock() for _ in seeds]
        goals = [
            surround(config, own, make_goal(config, own, clock, known), clock, known=known)
            for config, own, clock in zip(configs, setups, clocks, strict=True)
        ]
        devices = jax.devices()
        mesh = distill.device_mesh(devices[: distill.devices_for(len(seeds), len(devices))])
        progress = Progress(f"distil seeds {', '.join(map(str, seeds))}, step")
        total = sum(first.config.narrow_steps) + first.config.outer_steps
        states, last = distil_together(
            configs,
            setup,
            goals,
            mesh,
            folder,
            lambda record: progress(record["step"], total),
        )
        for i, cell in enumerate(siblings):
            if last["skipped"][i]:
                note(f"{cell.name}: steps that were not finite; it is distilled alone")
            elif not cell.begun():
                record = {
                    "step": last["step"],
                    "seconds": last["seconds"] / len(seeds),
                    "loss": last["loss"][i],
                    "seeds_together": seeds,
                    "seconds_before": clocks[i].seconds,
                }
                state = jax.tree.map(lambda leaf, i=i: jnp.asarray(leaf[i]), states)
                keep_end(cell, setup, state, record)
        shutil.rmtree(folder)


def keep_end(cell: Cell, setup: Setup, state: distill.DistillerState, last: dict[str, Any]) -> None:
    """Leave a last state and record where the cell's own distillation goes on from them."""
    form = form_of_state(cell.config, setup, state.synthetic)
    with saving(cell.set_folder, PHASE, form, cell.config.checkpoint_minutes) as saver:
        saver(last["step"], state, place_of_end(cell.config, setup, last), now=True)
