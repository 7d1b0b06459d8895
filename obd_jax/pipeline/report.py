"""What the report of a run shows, collected from the run."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from obd_jax import evaluation
from obd_jax.analysis import principal_plane
from obd_jax.artefacts import Figure, report_figures, report_page
from obd_jax.numerics import some_rows
from obd_jax.pipeline.offline import log_density_of, students_of
from obd_jax.pipeline.preparation import Prepared
from obd_jax.pipeline.scores import random_real, reference_lines
from obd_jax.pipeline.targets import Objective
from obd_jax.types import SyntheticData

# States of the data that are drawn, and compared.
_STATES = 3_000


def write_report(
    path: pathlib.Path,
    title: str,
    prepared: Prepared,
    objective: Objective,
    synthetic: SyntheticData,
    results: Mapping[str, Any],
    losses: Sequence[Mapping[str, Any]],
    curve: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write the page of a run.

    Args:
        path: of the HTML file.
        title: of the page.
        prepared: what was distilled.
        objective: with the density weights, if there are any.
        synthetic: the set.
        results: content of `results.json`.
        losses: records of outer steps.
        curve: records of scores along distillation.
    """
    rows = some_rows(len(prepared.kept), _STATES)
    figures = [
        Figure("Loss", "On batches of the states distilled.", report_figures.loss_figure(losses)),
        *_returns(curve, results),
        _states(objective, synthetic, rows),
        _actions(prepared, objective, synthetic, rows),
        *_errors(prepared, objective, synthetic, results.get("offline"), rows),
    ]
    page = report_page(title, results, len(synthetic.actions), len(prepared.kept), figures)
    path.write_text(page, encoding="utf-8")


def _returns(curve: Sequence[Mapping[str, Any]], results: Mapping[str, Any]) -> list[Figure]:
    if not curve:
        return []
    lines = reference_lines(results["returns"])
    png = report_figures.returns_figure(curve, lines, results["unit"])
    caption = "Points are of fewer episodes than the final score; the band is the students' range."
    return [Figure("Learning curve", caption, png)]


def _states(objective: Objective, synthetic: SyntheticData, rows: np.ndarray) -> Figure:
    states = np.asarray(objective.unweighted.observations)[rows]
    plane = principal_plane(states)
    weights = None if objective.weights is None else np.asarray(objective.weights)[rows]
    png = report_figures.states_figure(
        plane.project(states),
        plane.project(np.asarray(synthetic.observations)),
        plane.explained,
        weights,
    )
    caption = (
        f"{len(rows):,} states of the data and all synthetic ones, normalised, on the first two "
        "principal components of the data"
    )
    colours = "." if weights is None else "; coloured by density weight, darker where rarer."
    return Figure("Where the synthetic states lie", caption + colours, png)


def _actions(
    prepared: Prepared, objective: Objective, synthetic: SyntheticData, rows: np.ndarray
) -> Figure:
    actions = {"data": np.asarray(prepared.own.actions)[rows]}
    if prepared.teacher is not None and objective.name != "dbc":
        actions["teacher"] = np.asarray(objective.unweighted.actions)[rows]
    actions["synthetic"] = np.asarray(synthetic.actions)
    png = report_figures.actions_figure(actions)
    caption = "Shares of the actions in states of the data, and in the synthetic states."
    if synthetic.actions.shape[1] > report_figures.MOST_ACTIONS:
        caption += f" The first {report_figures.MOST_ACTIONS} dimensions."
    return Figure("Actions", caption, png)


def _errors(
    prepared: Prepared,
    objective: Objective,
    synthetic: SyntheticData,
    offline: Mapping[str, Any] | None,
    rows: np.ndarray,
) -> list[Figure]:
    """By density: of held-out states where there are measures, else of states distilled."""
    if offline is not None:
        found = {
            name: row["by_density"]
            for name, row in offline["policies"].items()
            if "by_density" in row
        }
        where, wanted = "held-out states", f"the {offline['error_to']}'s"
    elif len(rows) < evaluation.DENSITY_PARTS:
        return []
    else:
        found = errors_by_density(prepared, objective, synthetic, rows)
        where = "states of the data, by one student of each set,"
        wanted = "the data's" if objective.name == "dbc" else "the teacher's"
    if not found:
        return []
    caption = f"Mean squared difference to {wanted} actions, on {where} in ten equal parts."
    png = report_figures.errors_figure(found)
    return [Figure("Errors by density", caption, png)]


def errors_by_density(
    prepared: Prepared,
    objective: Objective,
    synthetic: SyntheticData,
    rows: np.ndarray,
) -> dict[str, list[float]]:
    """Errors of a student on the set, and of one on random pairs, in ten parts of some states.

    Their density is that of the weights, or by neighbours where there are none.

    Args:
        prepared: what was distilled.
        objective: whose actions are to be matched.
        synthetic: the set.
        rows: of the states distilled, ten at least.

    Returns:
        Name -> mean squared errors, in the rarest states first.
    """
    states = prepared.kept.observations[rows]
    wanted = np.asarray(objective.unweighted.actions)[rows]
    # Only the order counts; weights fall with the density.
    density = (
        log_density_of(prepared, states)
        if objective.weights is None
        else -np.asarray(objective.weights)[rows]
    )
    sets = {"synthetic": synthetic, "random_real": random_real(len(synthetic.actions), prepared)}
    errors = {
        name: evaluation.action_errors(students_of(prepared, each, 1)(states), wanted)
        for name, each in sets.items()
    }
    return {name: evaluation.by_density(each, density).tolist() for name, each in errors.items()}
