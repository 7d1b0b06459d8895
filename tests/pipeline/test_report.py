"""What the report of a run collects."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from obd_jax import distill, evaluation
from obd_jax.pipeline.report import errors_by_density, write_report
from obd_jax.pipeline.targets import make_objective
from obd_jax.reporting import Clock
from obd_jax.settings import with_options
from tests.pipeline.toy_runs import KERNEL, few_transitions, prepared_for

MODULE = importlib.import_module("obd_jax.pipeline.report")
ROW = {"mean": 1.0, "iqm": 1.0, "ci95": [0.0, 2.0], "per_student": [1.0], "episodes": 2}
RESULTS = {
    "returns": {"synthetic": ROW},
    "unit": "return",
    "seconds": {"distil": 1.0},
    "config": {},
    "objective": "pbc",
    "density": None,
    "student": {"name": "kernel", "kernel": "ntk"},
    "provenance": {"seed": 0},
}
LOSSES = [{"step": 10, "loss": 0.1}]


@pytest.fixture(scope="module")
def case():
    """Prepared, objective and a set of the toy's own pairs."""
    with pytest.MonkeyPatch.context() as patch:
        few_transitions(patch)
        prepared = prepared_for(KERNEL)
    objective = make_objective(
        with_options(KERNEL, objective="pbc").distillation, prepared, Clock()
    )
    pairs = distill.choose(prepared.keys["initial"], distill.uniform, objective.unweighted, 64)
    return prepared, objective, pairs


@pytest.fixture
def shown(case, tmp_path, monkeypatch):
    """Writes a report; returns the figures that it shows, by title."""

    def write(objective=case[1], curve=(), **changes):
        write_report(
            tmp_path / "report.html",
            "title",
            case[0],
            objective,
            case[2],
            {**RESULTS, **changes},
            LOSSES,
            curve,
        )
        return found

    found = {}

    def page(title, results, pairs, states, figures):
        assert (pairs, states) == (64, len(case[0].kept))
        found.update({figure.title: figure for figure in figures})
        return title

    monkeypatch.setattr(MODULE, "report_page", page)
    return write


def test_errors_are_those_of_students_in_the_rarest_states_first(case):
    prepared, objective, pairs = case
    rows = np.arange(100)
    errors = errors_by_density(*case, rows)
    assert list(errors) == ["synthetic", "random_real"]
    for values in errors.values():
        assert len(values) == 10
        assert values[0] > values[-1] > 0
    policy = evaluation.trained_policy(
        jax.random.key(0), prepared.student, pairs, prepared.normalizer
    )
    wanted = np.asarray(objective.unweighted.actions)[rows]
    difference = policy(prepared.kept.observations[rows]) - wanted
    assert np.mean(errors["synthetic"]) == pytest.approx(np.mean(difference**2), rel=1e-4)
    # The teacher's actions on the set's states, against noisy ones of the data.
    assert np.mean(errors["synthetic"]) < np.mean(errors["random_real"])


def test_a_run_without_rollouts_or_density_has_the_other_figures(shown):
    figures = shown(returns={})
    assert list(figures) == [
        *("Loss", "Where the synthetic states lie", "Actions", "Errors by density")
    ]
    assert "the teacher's actions, on states of the data" in figures["Errors by density"].caption
    assert "coloured" not in figures["Where the synthetic states lie"].caption


def test_the_curve_and_the_weights_show_where_there_are_any(shown, case):
    weights = jnp.linspace(0.1, 2.0, len(case[0].kept))
    point = {"step": 0, "return": 1.0, "low": 0.0, "high": 2.0}
    figures = shown(case[1]._replace(weights=weights), [point])
    assert "Learning curve" in figures
    assert "coloured by density weight" in figures["Where the synthetic states lie"].caption


def test_measures_on_held_out_states_take_the_place_of_own_errors(shown, monkeypatch):
    monkeypatch.setattr(MODULE, "errors_by_density", None)
    policies = {"synthetic": {"by_density": [1.0] * 10}, "data": {}}
    figures = shown(offline={"policies": policies, "error_to": "data"})
    assert "to the data's actions, on held-out states" in figures["Errors by density"].caption


def test_too_few_held_out_states_for_ten_parts_leave_the_errors_out(shown):
    offline = {"policies": {"synthetic": {"action_error": 0.1}}, "error_to": "data"}
    assert "Errors by density" not in shown(offline=offline)


def test_the_density_of_the_weights_orders_the_errors_where_there_are_any(case, monkeypatch):
    monkeypatch.setattr(MODULE, "log_density_of", None)
    prepared, objective, pairs = case
    rows = np.arange(100)
    up, down = (
        errors_by_density(prepared, objective._replace(weights=weights), pairs, rows)
        for weights in (jnp.arange(1.0, 501.0), jnp.arange(500.0, 0.0, -1.0))
    )
    np.testing.assert_allclose(up["synthetic"], down["synthetic"][::-1], rtol=1e-5)
