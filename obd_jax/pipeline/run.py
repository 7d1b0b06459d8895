"""The main job: distil, score and write a run folder, which can be resumed."""

import pathlib
from typing import Any

import jax
import numpy as np

from obd_jax import artefacts, distill, evaluation, runs
from obd_jax.data.cache import sha256
from obd_jax.evaluation import FINAL_SEED
from obd_jax.pipeline.distillation import distil, form_of_state, initial_set
from obd_jax.pipeline.offline import judge
from obd_jax.pipeline.preparation import Prepared, input_hashes, prepare, set_card
from obd_jax.pipeline.problem import load_problem
from obd_jax.pipeline.report import write_report
from obd_jax.pipeline.scores import (
    Curve,
    random_real,
    reference_lines,
    score,
    score_networks,
    score_references,
)
from obd_jax.pipeline.settings import RunSettings, in_its_precision
from obd_jax.pipeline.stages import PoolStudents, total_steps
from obd_jax.pipeline.targets import make_objective, reweight
from obd_jax.reporting import CONSOLE, Clock, Reporter
from obd_jax.settings import to_options, with_options
from obd_jax.types import SyntheticData


@in_its_precision
def run(settings: RunSettings, reporter: Reporter = CONSOLE) -> dict[str, Any]:
    """Run the whole job and write the run folder; returns the content of `results.json`.

    In the folder of the same run, unfinished, it resumes from the last checkpoint there.

    Raises:
        InvalidInputError: the input cannot be used; nothing has been written.
        evaluation.NotFiniteError: students of the set are not finite; what is distilled is kept.
        distill.DivergedError: a loss, gradient or set was not finite; the last good set is kept.
        KeyboardInterrupt: a signal ended the run; it can be resumed.
    """
    out = pathlib.Path(settings.run.out or runs.folder_of_now())
    settings = with_options(settings, out=str(out))
    distillation, scores = settings.distillation, settings.scores
    config = to_options(settings)
    runs.refuse_unusable(out, config, runs.MAY_DIFFER)
    clock = Clock()
    with clock("load"):
        problem = load_problem(settings, reporter)
        prepared = prepare(jax.random.key(settings.run.seed), problem, distillation, reporter)
    objective = make_objective(distillation, prepared, clock)
    start = None
    if distillation.start.start is not None:
        path = artefacts.file_of(distillation.start.start)
        start = {"name": str(path), "sha256": sha256(path)}
    inputs = {**input_hashes(prepared), "SHA-256 of the start": start and start["sha256"]}

    opened = runs.RunFolder(out, config, inputs, runs.MAY_DIFFER, settings.run.writer_names)
    with opened as folder:
        objective = reweight(distillation, prepared, objective, clock, reporter, out)
        scored_in, pairs = prepared.environment, distillation.start.pairs
        rows: dict[str, Any] = {}
        worst: list[dict[str, Any]] = []
        if scored_in is not None:
            _, rows = runs.phase(
                out,
                "references",
                clock,
                reporter,
                None,
                lambda: (None, score_references(scores, pairs, prepared, reporter)),
            )
        card = set_card(
            prepared,
            config,
            objective.name,
            objective.density_card,
            start=start,
            seed=settings.run.seed,
        )

        def keep(synthetic: SyntheticData) -> pathlib.Path:
            distilled = artefacts.DistilledSet(synthetic, prepared.normalizer, card)
            return artefacts.save(out, distilled)

        steps = total_steps(distillation.students, distillation.outer)
        points = 0 if scored_in is None else scores.curve_points
        curve = Curve(prepared, steps, points, folder, clock, reporter)
        synthetic = initial_set(distillation, prepared, objective)
        form = form_of_state(distillation, prepared, synthetic)
        minutes = settings.run.checkpoint_minutes
        with runs.checkpointing(
            out, "distil", form, minutes, reporter, folder.sync_metrics
        ) as saver:
            curve.resume(folder.cut_metrics(-1 if saver.found is None else saver.found.step))
            if saver.found is None:
                curve.score(synthetic, {"step": 0, "seconds": 0.0})
            try:
                state, last = distil(distillation, prepared, objective, synthetic, saver, curve)
            except distill.DivergedError as error:
                reporter.note(f"the last good set is in {keep(error.synthetic)}")
                raise
        keep(state.synthetic)
        clock.seconds["distil"] = last["seconds"]
        if scored_in is not None:
            with clock("evaluate"):
                scored, worst = score_set(settings, prepared, state.synthetic, reporter)
                rows = {**scored, **rows}
        measures = None
        if prepared.held_out is not None:
            with clock("judge"):
                measures = judge(
                    prepared,
                    {
                        "synthetic": state.synthetic,
                        "random_real": random_real(pairs, prepared),
                    },
                    scores.students,
                    settings.offline.fqe_steps,
                    reporter,
                )
        unit = None if scored_in is None else scored_in.unit
        results = {
            "returns": rows,
            "unit": unit,
            "worst_episodes": worst,
            **({} if measures is None else {"offline": measures}),
            "seconds": clock.seconds,
            "outer_steps": last["step"],
            "loss": last["loss"],
            "curve": curve.about,
            **card,
        }
        task = "" if scored_in is None else f"{scored_in.name}: "
        title = f"{task}{pathlib.Path(prepared.data.provenance.name).name}"
        artefacts.draw_curve(
            out / "curve.png",
            title,
            curve.losses,
            curve.returns,
            reference_lines(rows),
            unit or "no environment",
            "synthetic, fewer episodes than the final score",
        )
        with clock("report"):
            write_report(
                out / "report.html",
                title,
                prepared,
                objective,
                state.synthetic,
                results,
                curve.losses,
                curve.returns,
            )
        folder.finish(results)
    return results


def score_set(
    settings: RunSettings, prepared: Prepared, synthetic: SyntheticData, reporter: Reporter
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Rows of the students that a set is for, and the worst episodes of the first row."""
    scores, chosen = settings.scores, settings.distillation.students
    lengths: list[np.ndarray] = []
    returns = score(
        prepared,
        "synthetic",
        synthetic,
        scores.students,
        scores.episodes,
        FINAL_SEED,
        reporter,
        lengths.append,
    )
    rows = {"synthetic": evaluation.summarize(returns)}
    if isinstance(chosen, PoolStudents):
        rows["networks"] = score_networks(scores, chosen.network, prepared, synthetic, reporter)
    return rows, evaluation.worst_episodes(returns, lengths[0])
