"""What a cell of the papers' table holds: a set, distilled or selected, and students' scores."""

import functools
from typing import Any

import jax
import numpy as np
from cells import PHASE, Cell
from protocol import CLONE_STEPS, EPISODES, SDR_LAST_STEP, SELECTED

from obd_jax import artefacts, distill, environments, evaluation, runs, selection, students
from obd_jax.evaluation import FINAL_SEED
from obd_jax.pipeline import Distillation, Problem
from obd_jax.pipeline.distillation import distil, form_of_state, initial_set
from obd_jax.pipeline.preparation import Prepared, input_hashes, prepare, set_card
from obd_jax.pipeline.scores import score, score_teacher
from obd_jax.pipeline.stages import total_steps
from obd_jax.pipeline.targets import Cache, log_densities, make_objective, reweight
from obd_jax.reporting import Clock, Reporter
from obd_jax.settings import to_options
from obd_jax.types import InvalidInputError, Student, SyntheticData


def make(cell: Cell, problem: Problem, cache: Cache, reporter: Reporter) -> dict[str, Any]:
    """What a cell's file holds: settings, returns of every kind of student, provenance.

    Args:
        cell: which.
        problem: its data set with its teacher.
        cache: what earlier cells of the data set computed; it is used and added to.
        reporter: for progress.
    """
    key = jax.random.key(cell.seed)
    prepared = prepare(key, problem, cell.settings.distillation, reporter)
    assert prepared.environment is not None
    clock, extra = Clock(), dict[str, Any]()
    if cell.row == "teacher":
        episodes = environments.normalized_score(
            prepared.environment, prepared.data.episode_returns
        )
        extra["data"] = {"mean": float(episodes.mean()), "episodes": len(episodes)}
        with clock("evaluate"):
            teacher = score_teacher(prepared, reporter)
        assert teacher is not None  # Those of the package can be traced.
        returns = {"teacher": teacher}
    elif cell.row == "bc":
        returns = {"mlp": clone(prepared, clock, reporter)}
    else:
        if cell.row not in SELECTED:
            synthetic, extra = distilled(cell, prepared, cache, clock, reporter)
        else:
            with clock("select"):
                synthetic = selected(cell, prepared, cache, reporter)
        with clock("evaluate"):
            returns = score_family(cell, prepared, synthetic, reporter)
    return {
        "dataset": cell.dataset,
        "row": cell.row,
        "family": cell.family,
        "seed": cell.seed,
        "returns": {kind: np.round(found, 3).tolist() for kind, found in returns.items()},
        **extra,
        "seconds": clock.seconds,
        "config": to_options(cell.settings),
        "provenance": artefacts.provenance(prepared.data, prepared.teacher, prepared.environment),
    }


def distilled(
    cell: Cell, prepared: Prepared, cache: Cache, clock: Clock, reporter: Reporter
) -> tuple[SyntheticData, dict[str, Any]]:
    """The distilled set, which is kept as well, and how its distillation ended."""
    settings, config = cell.settings.distillation, to_options(cell.settings)
    objective = make_objective(settings, prepared, clock, cache)
    objective = reweight(settings, prepared, objective, clock, reporter, cache=cache)
    synthetic = initial_set(settings, prepared, objective)
    progress = reporter.progress("distil, step")
    total = total_steps(settings.students, settings.outer)
    form = form_of_state(settings, prepared, synthetic)
    minutes = cell.settings.run.checkpoint_minutes
    with runs.lock(cell.set_folder):
        runs.record_inputs(cell.set_folder, config, input_hashes(prepared), runs.MAY_DIFFER)
        with runs.checkpointing(cell.set_folder, PHASE, form, minutes, reporter) as saver:
            state, last = distil(
                settings,
                prepared,
                objective,
                synthetic,
                saver,
                lambda _, record: progress(
                    record["step"], total, record["eta_seconds"], f"loss {record['loss']:.4f}"
                ),
            )
    clock.seconds.update(last.get("seconds_before", {}))
    clock.seconds["distil"] = last["seconds"]
    seeds_together = last.get("seeds_together", [cell.seed])
    card = set_card(
        prepared,
        config,
        objective.name,
        objective.density_card,
        seed=cell.seed,
        seeds_together=seeds_together,
    )
    found = artefacts.DistilledSet(state.synthetic, prepared.normalizer, card)
    artefacts.save(cell.set_folder, found)
    extra = {
        "density": objective.density_card,
        "outer_steps": last["step"],
        "loss": last["loss"],
        "seeds_together": seeds_together,
    }
    return state.synthetic, extra


def selected(cell: Cell, prepared: Prepared, cache: Cache, reporter: Reporter) -> SyntheticData:
    """N real pairs: at random, or the coreset."""
    settings = cell.settings.distillation
    if cell.row == "random":
        pairs = settings.start.pairs
        return distill.choose(prepared.keys["random_real"], distill.uniform, prepared.own, pairs)
    return coreset(settings, prepared, cache, reporter)


def coreset(
    settings: Distillation, prepared: Prepared, cache: Cache, reporter: Reporter
) -> SyntheticData:
    """N real pairs by dual ranking.

    Raises:
        InvalidInputError: the teacher has no critic.
    """
    if prepared.teacher is None or prepared.teacher.value is None:
        raise InvalidInputError("sdr ranks by q*: a teacher with a critic is needed")
    log_density, _ = log_densities(settings, prepared, reporter, cache)
    value = jax.jit(prepared.teacher.value)
    data, own = prepared.data, prepared.own
    pieces = range(0, len(data), 100_000)
    values = [
        np.asarray(value(data.observations[i:j], data.actions[i:j]))
        for i, j in ((i, min(i + 100_000, len(data))) for i in pieces)
    ]
    rows = selection.dual_ranking(
        data.episode_steps,
        np.concatenate(values),
        log_density,
        settings.start.pairs,
        last_step=SDR_LAST_STEP,
    )
    return SyntheticData(own.observations[rows], own.actions[rows])


@functools.cache
def ensemble(student: Student) -> Student:
    """Ten students that act together; the same record every time, so that it is compiled once."""
    return students.ensemble(student, 10)


def score_family(
    cell: Cell, prepared: Prepared, synthetic: SyntheticData, reporter: Reporter
) -> dict[str, np.ndarray]:
    """Returns [K, E] of every kind of student in the family."""

    def scored(kind: str, own: Prepared, count: int, episodes: int) -> np.ndarray:
        return score(own, kind, synthetic, count, episodes, FINAL_SEED, reporter)

    if cell.family == "kernel":
        return {"kernel": scored("kernel", prepared, 1, EPISODES)}
    together = prepared._replace(student=ensemble(prepared.student))
    return {
        "mlp": scored("mlp", prepared, 10, EPISODES // 2),
        "ensemble": scored("ensemble", together, 3, EPISODES // 2),
    }


def clone(prepared: Prepared, clock: Clock, reporter: Reporter) -> np.ndarray:
    """Returns [1, E] of a network cloned on all data."""
    progress, steps, recipe = reporter.progress("clone, step"), CLONE_STEPS, students.MLPRecipe()
    with clock("clone"):
        params = students.clone(
            prepared.keys["students"],
            prepared.own.observations,
            prepared.own.actions,
            hidden_sizes=recipe.hidden_sizes,
            steps=steps,
            callback=lambda done, loss: progress(done, steps, note=f"loss {loss:.4f}"),
        )
    act = recipe.student(prepared.data.action_size).act
    assert prepared.environment is not None
    with clock("evaluate"):
        return evaluation.score_act(
            lambda observations: act(params, prepared.normalizer.normalize(observations)),
            prepared.environment,
            episodes=EPISODES,
            seed=FINAL_SEED,
            progress=reporter.progress("roll out clone, steps"),
        )
