"""Cells of the papers' table that differ in their seeds, distilled in one program."""

import dataclasses
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
    surround,
)
from table_cells import PHASE, Cell
from together import distil_together

from obd_jax import artefacts, distill
from obd_jax.command_line import Clock, Progress


def distil_seeds(siblings: list[Cell], loaded: Loaded, known: dict[Any, Any]) -> None:
    """Distil the sets of cells in one program, each as its own seed alone would have it.

    Each is left as if it had been distilled alone and stopped at its end, but for one that has met
    numbers that are not finite, which is left to do so alone.

    Args:
        siblings: cells of one row, family and data set, none of them begun.
        loaded: their data and teacher.
        known: what earlier cells of the data set computed; it is used and added to.
    """
    first, seeds = siblings[0], [cell.seed for cell in siblings]
    name = "-".join(map(str, (first.row, first.family, *seeds)))
    folder = first.set_folder.with_name(name)
    clock = Clock()
    with jax.default_matmul_precision(first.config.precision):
        setups = [prepare(cell.config, loaded) for cell in siblings]
        goals = [
            surround(config, setup, make_goal(config, setup, clock, known), clock, known=known)
            for config, setup in zip((cell.config for cell in siblings), setups, strict=True)
        ]
        devices = jax.devices()
        mesh = distill.device_mesh(devices[: distill.devices_for(len(seeds), len(devices))])
        progress = Progress(f"distil {first.dataset}/{name}, step")
        total = sum(first.config.narrow_steps) + first.config.outer_steps
        with artefacts.alone(folder):
            settings = {**dataclasses.asdict(first.config), "seeds": seeds}
            artefacts.pin(folder, settings, inputs_of(setups[0]), FREE)
            states, last = distil_together(
                [cell.config for cell in siblings],
                setups[0],
                goals,
                mesh,
                folder,
                lambda record: progress(record["step"], total),
            )
            for i, (cell, setup) in enumerate(zip(siblings, setups, strict=True)):
                if not last["skipped"][i]:
                    state = jax.tree.map(lambda leaf, i=i: jnp.asarray(leaf[i]), states)
                    seconds = last["seconds"] / len(seeds)
                    record = {"step": last["step"], "seconds": seconds, "loss": last["loss"][i]}
                    keep_end(cell, setup, state, {**record, "seeds_together": seeds})
        shutil.rmtree(folder)


def keep_end(cell: Cell, setup: Setup, state: distill.DistillerState, last: dict[str, Any]) -> None:
    """Leave a last state and record where the cell's own distillation goes on from them."""
    config = cell.config
    form = form_of_state(config, setup, state.synthetic)
    with artefacts.alone(cell.set_folder):
        artefacts.pin(cell.set_folder, dataclasses.asdict(config), inputs_of(setup), FREE)
        with saving(cell.set_folder, PHASE, form, config.checkpoint_minutes) as saver:
            saver(last["step"], state, place_of_end(config, setup, last), now=True)
