"""Distil an offline RL data set into a few synthetic pairs and score policies cloned on them.

python experiments/run_sdw.py --dataset=walker2d-medium-expert
python experiments/run_sdw.py --dataset_path=hopper.hdf5 --env=hopper --teacher=hopper.pt \
        --teacher_stats=d4rl_stats.json --teacher_stats_key=hopper-medium-v2 --out=runs/hopper

The same command, with the same --out, goes on with a run that was stopped.
"""

import dataclasses
import pathlib
import sys
import time
from typing import Any

import jax
from absl import flags
from config import FREE, PRESETS, Config, check, preset, writers_of
from resume import once, saving, says_how_to_go_on
from scoring import FINAL_SEED, Curve, score, score_references, summary
from setup_run import distil, form_of_state, initial_set, inputs_of, make_goal, prepare, surround

from obd_jax import artefacts, data, distill, evaluation, students, teachers
from obd_jax.command_line import Clock, config_from_flags, define_flags, note, run_main
from obd_jax.types import SyntheticData


def run(config: Config) -> dict[str, Any]:
    """Run the whole job and write the run folder; returns the content of `results.json`.

    In the folder of the same run, unfinished, it goes on from the last checkpoint there.

    Raises:
        InvalidInputError: the input cannot be used; nothing has been written.
        evaluation.NotFiniteError: students of the set are not finite; what is distilled is kept.
        distill.DivergedError: a loss, gradient or set was not finite; the last good set is kept.
        KeyboardInterrupt: a signal ended the run; it can go on.
    """
    check(config)  # Before JAX is told the precision.
    with jax.default_matmul_precision(config.precision):
        return run_precisely(config)


def run_precisely(config: Config) -> dict[str, Any]:
    """The run, in the precision that is set."""
    out = pathlib.Path(config.out or time.strftime("runs/%Y%m%d-%H%M%S"))
    config = dataclasses.replace(config, out=str(out))
    settings = dataclasses.asdict(config)
    artefacts.refuse_unusable(out, settings, FREE)
    clock = Clock()
    with clock("load"):
        setup = prepare(config)
        constant = data.constant_columns(setup.data.observations).tolist()
        if constant:
            note(f"constant observation columns {constant}: centred, not scaled up")
    goal = make_goal(config, setup, clock)
    start = None
    if config.start is not None:
        start = {"name": config.start, "sha256": data.sha256(pathlib.Path(config.start))}
    inputs = {**inputs_of(setup), "SHA-256 of the start": start and start["sha256"]}

    opened = artefacts.RunFolder(out, settings, inputs, FREE, writers_of(config))
    with opened as folder, says_how_to_go_on(out):
        goal = surround(config, setup, goal, clock, out)
        _, rows = once(
            out, "references", clock, None, lambda: (None, score_references(config, setup))
        )
        card = {
            "provenance": {
                "start": start,
                "data": dataclasses.asdict(setup.data.provenance),
                "teacher": dataclasses.asdict(setup.teacher.provenance),
                "environment": {
                    "name": setup.environment.name,
                    "backend": setup.environment.backend,
                },
                "seed": config.seed,
                "software": artefacts.software(),
            },
            "config": settings,
            "objective": goal.objective,
            "density": goal.density_card,
            "constant_columns": constant,
            "student": students.to_card(setup.recipe),
        }

        def keep(synthetic: SyntheticData) -> pathlib.Path:
            return artefacts.save(out, artefacts.DistilledSet(synthetic, setup.normalizer, card))

        curve = Curve(config, setup, folder, clock)
        synthetic = initial_set(config, setup, goal)
        form = form_of_state(config, setup, synthetic)
        minutes = config.checkpoint_minutes
        with saving(out, "distil", form, minutes, folder.sync_metrics) as saver:
            curve.go_on(folder.cut_metrics(-1 if saver.found is None else saver.found.step))
            if saver.found is None:
                curve.score(synthetic, {"step": 0, "seconds": 0.0})
            try:
                state, last = distil(config, setup, goal, synthetic, saver, curve)
            except distill.DivergedError as error:
                note(f"the last good set is in {keep(error.synthetic)}")
                raise
        path = keep(state.synthetic)
        clock.seconds["distil"] = last["seconds"]
        with clock("evaluate"):
            scores = score(
                setup,
                "synthetic",
                state.synthetic,
                config.students,
                config.episodes,
                FINAL_SEED,
            )
        rows = {"synthetic": evaluation.summarize(scores), **rows}
        results = {
            "returns": rows,
            "unit": setup.environment.unit,
            "seconds": clock.seconds,
            "outer_steps": last["step"],
            "loss": last["loss"],
            **card,
        }
        artefacts.draw_curve(
            out / "curve.png",
            f"{setup.environment.name}: {pathlib.Path(setup.data.provenance.name).name}",
            curve.losses,
            curve.returns,
            {name: row["mean"] for name, row in rows.items() if row and name != "synthetic"},
            setup.environment.unit,
        )
        folder.finish(results)
    print(summary(results, path))
    return results


def main() -> None:
    """Entry point."""
    given = config_from_flags(Config, {})
    task = given.env or given.dataset or ""
    settings = preset(flags.FLAGS.config, given.student, given.objective, task)
    try:
        run(config_from_flags(Config, settings))
    except (distill.DivergedError, teachers.DivergedError, FloatingPointError) as error:
        sys.exit(f"error: {error}")
    except OSError as error:  # Of a disk that is full, most often.
        sys.exit(f"error: {error}; what is saved stays")


if __name__ == "__main__":
    define_flags(Config)
    flags.DEFINE_enum("config", "default", PRESETS, "Settings that flags then override.")
    run_main(main)
