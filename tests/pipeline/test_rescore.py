"""Scores of a distilled set on its own: those of its run, and those of other students."""

import importlib
import json

import numpy as np
import pytest

from obd_jax import environments, students
from obd_jax.environments import EnvironmentSettings
from obd_jax.evaluation import RolloutSettings
from obd_jax.pipeline import RescoreSettings, rescore, run
from obd_jax.pipeline.scores import table
from obd_jax.reporting import SILENT
from obd_jax.settings import with_options
from obd_jax.types import InvalidInputError
from tests.pipeline.toy_runs import TINY

MODULE = importlib.import_module("obd_jax.pipeline.rescore")  # Its name is the function's too.
SHORT = with_options(TINY, hidden_sizes=(32,), outer_steps=10, temperature=0.0, curve_points=0)
ROLLOUTS = {"students": SHORT.scores.students, "episodes": SHORT.scores.episodes}


@pytest.fixture(scope="module")
def of_mlp(tmp_path_factory):
    """Folder and results of a run."""
    folder = tmp_path_factory.mktemp("mlp") / "run"
    return folder, run(with_options(SHORT, out=str(folder)), SILENT)


@pytest.fixture(scope="module")
def of_kernel(tmp_path_factory):
    """The same with a student in closed form."""
    folder = tmp_path_factory.mktemp("kernel") / "run"
    return folder, run(with_options(SHORT, out=str(folder), student="kernel", depth=2), SILENT)


def rescored(folder, changes=None, ensemble=1, **rollouts):
    settings = RescoreSettings(
        str(folder / "distilled.npz"),
        ensemble=ensemble,
        rollouts=RolloutSettings(**{**ROLLOUTS, **rollouts}),
    )
    return rescore(settings, changes, SILENT)


def test_scoring_a_set_again_repeats_the_score_of_its_run(of_mlp, tmp_path, capsys):
    folder, results = of_mlp
    settings = RescoreSettings(
        path=str(folder / "distilled.npz"),
        out=str(tmp_path / "scores.json"),
        rollouts=RolloutSettings(**ROLLOUTS),
    )
    again = rescore(settings)
    row, expected = again["returns"]["synthetic"], results["returns"]["synthetic"]
    assert set(row) == set(expected)
    np.testing.assert_allclose(row["per_student"], expected["per_student"], rtol=1e-3, atol=0.1)
    assert np.ptp(row["per_student"]) > 1.0  # Other students have other scores.
    assert capsys.readouterr().out == ""  # The library prints nothing.
    assert "synthetic" in table(again["returns"], again["unit"])
    assert json.loads((tmp_path / "scores.json").read_text()) == json.loads(json.dumps(again))
    assert again["provenance"]["environment"]["name"] == "point-mass"
    assert again["card"] == json.loads((folder / "card.json").read_text())
    precision = SHORT.distillation.precision
    assert MODULE.precision_of(again["card"]) == precision
    assert again["provenance"]["software"]["matmul_precision"] == precision

    with pytest.raises(InvalidInputError, match=r"^out .*scores\.json exists already"):
        rescore(settings)


@pytest.mark.parametrize("software", [None, {}, {"matmul_precision": None}, {"jax": "0.4"}])
def test_an_older_card_leaves_the_precision_to_jax(software):
    assert MODULE.precision_of({"provenance": {"software": software}}) is None


def test_a_run_folder_stands_for_the_set_in_it(of_kernel):
    folder, _ = of_kernel
    by_folder = rescore(RescoreSettings(str(folder), rollouts=RolloutSettings(1, 1)), None, SILENT)
    by_file = rescored(folder, students=1, episodes=1)
    assert by_folder["returns"] == by_file["returns"]
    assert by_folder["provenance"] == by_file["provenance"]


def test_the_card_alone_is_enough_to_act_as_the_kernel_student(of_kernel):
    folder, results = of_kernel
    again = rescored(folder)
    row, expected = again["returns"]["synthetic"], results["returns"]["synthetic"]
    np.testing.assert_allclose(row["mean"], expected["mean"], rtol=1e-4)
    assert again["student"] == {**results["student"], "ensemble": 1}
    assert again["student"]["depth"] == 2


def test_a_set_may_be_scored_with_another_student_than_its_own(of_kernel):
    changes = {"student": "mlp", "hidden_sizes": (32,), "inner_steps": 50}
    again = rescored(of_kernel[0], changes, students=3)
    assert len(again["returns"]["synthetic"]["per_student"]) == 3
    # What is not given is the default of that student, not of the card's.
    default = students.MLPRecipe()
    assert again["student"] == {
        "name": "mlp",
        "hidden_sizes": (32,),
        "steps": 50,
        "optimizer": "sgd",
        "learning_rate": default.learning_rate,
        "momentum": default.momentum,
        "cloning": "presquash",
        "centred": False,
        "residual": False,
        "ensemble": 1,
    }


def test_a_set_may_be_scored_with_changes_to_its_own_student(of_mlp):
    again = rescored(of_mlp[0], {"inner_steps": 10}, ensemble=3, students=2, episodes=2)
    assert (
        again["student"] | {"steps": 10, "hidden_sizes": (32,), "ensemble": 3} == again["student"]
    )
    assert len(again["returns"]["synthetic"]["per_student"]) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inner_steps": 10}, "inner_steps is for student=mlp or lazy_mlp, not kernel"),
        ({"ridges": 1.0}, "unknown option 'ridges'; known: student, kernel, "),
        ({"student": "tree"}, "unknown student 'tree'; known: kernel, mlp"),
        ({"ridge": -1.0}, "ridge must be finite and not be negative"),
    ],
)
def test_changes_that_do_not_apply_are_refused(of_kernel, changes, message):
    with pytest.raises(InvalidInputError, match=message):
        rescored(of_kernel[0], changes)


@pytest.mark.parametrize("changes", [{"seed": 3}, {"ensemble": 2}])
def test_what_changes_nothing_for_a_kernel_student_is_refused(of_kernel, of_mlp, changes):
    (name,) = changes
    settings = with_options(RescoreSettings(), path=str(of_kernel[0]), **changes)
    with pytest.raises(InvalidInputError, match=f"{name} changes nothing for student=kernel"):
        rescore(settings, {}, SILENT)
    short = {"students": 1, "episodes": 1}
    settings = with_options(RescoreSettings(), path=str(of_mlp[0]), **changes, **short)
    assert rescore(settings, {}, SILENT)["returns"]["synthetic"]["episodes"] == 1


def test_the_folder_of_a_run_stands_for_its_set(of_kernel):
    folder, _ = of_kernel
    settings = RescoreSettings(str(folder), rollouts=RolloutSettings(**ROLLOUTS))
    again = rescore(settings, {}, SILENT)
    assert again["provenance"]["set"]["name"] == str(folder / "distilled.npz")
    assert again["returns"] == rescored(folder)["returns"]


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ({}, "the set's card names no student; give student"),
        ({"student": {"name": "tree"}}, "unknown student 'tree'"),
    ],
)
def test_a_card_without_a_student_needs_one(card, message):
    with pytest.raises(InvalidInputError, match=message):
        MODULE.recipe_of_card(card, {})
    chosen = MODULE.recipe_of_card({}, {"student": "kernel", "ridge": 0.5})
    assert chosen == students.KernelRecipe(ridge=0.5)


def test_a_card_without_an_environment_needs_one():
    with pytest.raises(InvalidInputError, match="names no environment; give env"):
        MODULE.environment_of_card({}, EnvironmentSettings())
    with pytest.raises(InvalidInputError, match=r"names no environment$"):
        MODULE.environment_of_card({"provenance": {"environment": None}})
    assert MODULE.environment_of_card({}, EnvironmentSettings("hopper")).name == "hopper"
    card = {"provenance": {"environment": {"name": "walker2d"}}}
    assert MODULE.environment_of_card(card).name == "walker2d"
    card["provenance"]["environment"] = {"name": "Pendulum-v1", "kwargs": {"g": 5.0}}
    assert MODULE.environment_of_card(card) == environments.get("Pendulum-v1", {"g": 5.0})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"path": None}, "path is required"),
        ({"path": "/absent.npz"}, "no distilled set at /absent.npz"),
        ({"out": "/absent/scores.json"}, "^out /absent/scores.json cannot be written: /absent is"),
        ({"ensemble": 0}, "ensemble must be at least 1, got 0"),
        ({"students": 0}, "students must be at least 1, got 0"),
    ],
)
def test_unusable_options_are_refused(tmp_path, changes, message):
    values = {"path": str(tmp_path / "x.npz"), **changes}
    with pytest.raises(InvalidInputError, match=message):
        rescore(with_options(RescoreSettings(), **values))
