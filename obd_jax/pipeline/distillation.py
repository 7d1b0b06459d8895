"""Staged distillation, which can be saved and resumed."""

from typing import Any

import jax
import jax.numpy as jnp

from obd_jax import distill
from obd_jax.distill import ANNEALS, INITIALIZERS
from obd_jax.pipeline.preparation import Prepared
from obd_jax.pipeline.settings import Distillation
from obd_jax.pipeline.stages import Stage, stages
from obd_jax.pipeline.targets import Objective
from obd_jax.runs import Saver
from obd_jax.types import SyntheticData


def initial_set(settings: Distillation, prepared: Prepared, objective: Objective) -> SyntheticData:
    """What distillation starts from: the set given, or N real pairs."""
    if prepared.start is not None:
        return prepared.start
    chosen = settings.start
    if chosen.initializer == "relabelled":
        pool = objective.unweighted
    else:
        pool = prepared.own
        if chosen.initializer == "density":
            assert objective.weights is not None
            pool = pool._replace(weights=objective.weights)
    return distill.choose(
        prepared.keys["initial"], INITIALIZERS[chosen.initializer], pool, chosen.pairs
    )


def stages_of(settings: Distillation, prepared: Prepared) -> list[Stage]:
    """The stages of a distillation."""
    return stages(settings.students, settings.outer, prepared.data.action_size)


def make_distiller(settings: Distillation, stage: Stage) -> distill.Distiller:
    """One step of a stage, whose last sets are averaged if the settings say so."""
    made, share = _plain_distiller(settings, stage), settings.outer.average
    return distill.averaged(made, round((1 - share) * stage.steps)) if share else made


def _plain_distiller(settings: Distillation, stage: Stage) -> distill.Distiller:
    """One step of a stage, without averages."""
    optimizer = settings.outer.transformation(stage.learning_rate)
    constraint = distill.make_constraint(settings.outer.constraint)
    if stage.members:
        return distill.pool_distiller(
            stage.members,
            optimizer,
            students=stage.students,
            aggregate=jnp.sum,
            constraint=constraint,
        )
    return distill.distiller(stage.students, optimizer, constraint=constraint, spread=stage.spread)


def form_of_state(settings: Distillation, prepared: Prepared, synthetic: SyntheticData) -> Any:
    """Shapes and types of the state of distillation, the same in all stages."""
    distiller = make_distiller(settings, stages_of(settings, prepared)[-1])
    return jax.eval_shape(distiller.init, prepared.keys["distil"], synthetic)


def distil(
    settings: Distillation,
    prepared: Prepared,
    objective: Objective,
    synthetic: SyntheticData,
    saver: Saver | None = None,
    callback: distill.Callback | None = None,
) -> tuple[distill.DistillerState, dict[str, Any]]:
    """Distil a set: the last state and the record of the last steps.

    Every stage is annealed on its own and has the same share of the budget. With a saver it
    resumes where that has been, and is saved from time to time.

    Raises:
        distill.DivergedError: a loss, gradient or set was not finite.
        KeyboardInterrupt: a signal has come, and the state is saved.
    """
    parts, outer, key = stages_of(settings, prepared), settings.outer, prepared.keys["distil"]
    start = {"step": 0, "seconds": 0.0}
    # The stage, the last record before it and the last of all.
    place: dict[str, Any] = {"stage": 0, "before": start, "last": start}
    state = None
    if saver is not None and saver.found is not None:
        state, place = saver.found.state, saver.found.notes

    def report(state: distill.DistillerState, record: dict[str, Any]) -> None:
        before = place["before"]
        steps_to_come = sum(later.steps for later in parts[place["stage"] + 1 :])
        seconds_to_come = steps_to_come * record["seconds"] / record["step"]
        place["last"] = {
            **record,
            "step": before["step"] + record["step"],
            "seconds": before["seconds"] + record["seconds"],
            "progress": (place["stage"] + record["progress"]) / len(parts),
            "eta_seconds": record["eta_seconds"] + seconds_to_come,
        }
        if callback is not None:
            callback(state, place["last"])
        if saver is not None:
            saver(place["last"]["step"], state, place)

    while True:
        number = place["stage"]
        part, is_last = parts[number], number == len(parts) - 1
        state, _ = distill.train(
            key if is_last else jax.random.fold_in(key, number),
            make_distiller(settings, part),
            objective.targets,
            synthetic,
            steps=part.steps,
            batch_size=outer.batch_size,
            budget_seconds=outer.budget_minutes and 60 * outer.budget_minutes / len(parts),
            state=state,
            seconds=place["last"]["seconds"] - place["before"]["seconds"],
            anneal=ANNEALS[outer.anneal],
            callback=report,
        )
        if saver is not None:
            saver(place["last"]["step"], state, place, now=True)
        if is_last:
            return state, place["last"]
        synthetic, state = state.synthetic, None
        place.update(stage=number + 1, before=place["last"])


def place_at_end(
    settings: Distillation, prepared: Prepared, last: dict[str, Any]
) -> dict[str, Any]:
    """What a saver keeps for `distil` beside a last state that was reached in another way.

    Args:
        settings: of the distillation.
        prepared: what it started from.
        last: the last record: "step", "seconds" and "loss".
    """
    return {"stage": len(stages_of(settings, prepared)) - 1, "before": last, "last": last}
