"""Cells of the papers' table that differ in their seeds, distilled in one program."""

import contextlib
import json
import pathlib
import shutil

import jax
import jax.numpy as jnp
from cells import PHASE, Cell

from obd_jax import distill, runs
from obd_jax.distill.mesh import devices_for
from obd_jax.pipeline import Problem
from obd_jax.pipeline.distillation import form_of_state, place_at_end
from obd_jax.pipeline.preparation import Prepared, input_hashes, prepare, split_key
from obd_jax.pipeline.stages import total_steps
from obd_jax.pipeline.targets import Cache, make_objective, reweight
from obd_jax.pipeline.together import distil_together
from obd_jax.reporting import Clock, Reporter
from obd_jax.settings import to_options
from obd_jax.types import InvalidInputError


def folder_of(cell: Cell) -> pathlib.Path:
    """Where the seeds of the cell's row are distilled together."""
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


def distil_seeds(siblings: list[Cell], problem: Problem, cache: Cache, reporter: Reporter) -> None:
    """Distil the sets of cells in one program, each as its own seed alone would have it.

    Each is left as if it had been distilled alone and stopped at its end, but for one that has met
    numbers that are not finite, which is left to do so alone.

    Args:
        siblings: of `to_distil`.
        problem: what they distil.
        cache: what earlier cells of the data set computed; it is used and added to.
        reporter: for progress.

    Raises:
        InvalidInputError: one of their folders has other settings, or another process at work.
    """
    first, seeds = siblings[0], [cell.seed for cell in siblings]
    distillation = first.settings.distillation
    prepared = prepare(jax.random.key(first.seed), problem, distillation, reporter)
    folder, inputs = folder_of(first), input_hashes(prepared)
    with contextlib.ExitStack() as stack:
        own = [(cell.set_folder, to_options(cell.settings)) for cell in siblings]
        for place, config in (*own, (folder, {**to_options(first.settings), "seeds": seeds})):
            stack.enter_context(runs.lock(place))
            runs.record_inputs(place, config, inputs, runs.MAY_DIFFER)

        members = [prepared._replace(keys=split_key(jax.random.key(seed))) for seed in seeds]
        clocks = [Clock() for _ in seeds]
        objectives = [
            reweight(
                distillation,
                member,
                make_objective(distillation, member, clock, cache),
                clock,
                reporter,
                folder,
                cache,
                f"density-{seed}",
            )
            for member, clock, seed in zip(members, clocks, seeds, strict=True)
        ]
        devices = jax.devices()
        mesh = distill.device_mesh(devices[: devices_for(len(seeds), len(devices))])
        progress = reporter.progress(f"distil seeds {', '.join(map(str, seeds))}, step")
        total = total_steps(distillation.students, distillation.outer)
        states, last = distil_together(
            [cell.settings for cell in siblings],
            members,
            objectives,
            mesh,
            folder,
            reporter,
            lambda record: progress(record["step"], total),
        )
        for i, cell in enumerate(siblings):
            if last["skipped"][i]:
                reporter.note(f"{cell.name}: steps that were not finite; it is distilled alone")
            elif not cell.begun():
                record = {
                    "step": last["step"],
                    "seconds": last["seconds"] / len(seeds),
                    "loss": last["loss"][i],
                    "seeds_together": seeds,
                    "seconds_before": clocks[i].seconds,
                }
                state = jax.tree.map(lambda leaf, i=i: jnp.asarray(leaf[i]), states)
                keep_end(cell, prepared, state, record, reporter)
        shutil.rmtree(folder)


def keep_end(
    cell: Cell,
    prepared: Prepared,
    state: distill.DistillerState,
    last: dict,
    reporter: Reporter,
) -> None:
    """Leave a last state and record where the cell's own distillation resumes from them."""
    distillation, minutes = cell.settings.distillation, cell.settings.run.checkpoint_minutes
    form = form_of_state(distillation, prepared, state.synthetic)
    with runs.checkpointing(cell.set_folder, PHASE, form, minutes, reporter) as saver:
        saver(last["step"], state, place_at_end(distillation, prepared, last), now=True)
