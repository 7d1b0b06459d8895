"""Training a teacher, on the toy task: what it writes, that it resumes, what it refuses."""

import csv
import dataclasses
import io
import json
import os
import signal

import jax
import numpy as np
import pytest

from obd_jax import Problem, data, environments, evaluation, recorded, teachers, toy
from obd_jax.pipeline import (
    RunSettings,
    TrainingSettings,
    problem,
    run,
    teacher_training,
    train_in,
)
from obd_jax.pipeline.teacher_training import parse_options, training_summary
from obd_jax.reporting import SILENT
from obd_jax.settings import from_options, with_options
from obd_jax.types import ActionBounds, InvalidInputError
from tests.pipeline.toy_runs import few_transitions, prepared_for

SMALL = TrainingSettings(
    algorithm="td3_bc", options="batch_size=32", steps=2000, episodes=3, curve_points=2
)


def ignore(line):
    """Takes no notes: a pendulum's jumps are its own."""


def toy_data(transitions=4000):
    return toy.offline_data(jax.random.key(0), transitions)


def train(folder, settings=SMALL, environment=toy.SPEC, offline=None):
    origin = {"dataset": "toy"}
    offline = toy_data() if offline is None else offline
    return train_in(folder, settings, environment, offline, SILENT, origin)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher") / "run"
    return folder, train(folder)


def curve(folder):
    with open(folder / "curve.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_it_writes_teacher_results_and_curve(trained):
    folder, results = trained
    assert json.loads((folder / "results.json").read_text()) == json.loads(json.dumps(results))
    assert len(results["returns"]["teacher"]["per_student"]) == 1
    assert results["steps_per_second"] > 0
    assert results["q_calibration"] is None  # There are no rollouts of the toy task in Gymnasium.
    assert results["provenance"]["data"]["name"]
    assert results["config"] | {"dataset": "toy", "steps": 2000} == results["config"]
    assert [row["step"] for row in curve(folder)] == ["1000", "2000"]
    teacher = teachers.load_teacher(folder / "teacher.npz")
    assert teacher.provenance.source == "teacher by td3_bc"
    assert np.isfinite(teacher.act(np.zeros((1, teacher.observation_size), np.float32))).all()


def test_it_learns_the_toy_task(trained):
    _, results = trained
    # The data's noise costs nearly nothing of the score; staying still scores 0.
    assert results["returns"]["teacher"]["mean"] > 60


def test_stopped_and_started_again_it_ends_the_same(trained, tmp_path, monkeypatch):
    folder, _ = trained
    rollouts = evaluation.score_act

    def stop(*arguments, **options):
        os.kill(os.getpid(), signal.SIGINT)
        return rollouts(*arguments, **options)

    monkeypatch.setattr(evaluation, "score_act", stop)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "again")
    assert len(curve(tmp_path / "again")) == 1
    monkeypatch.setattr(evaluation, "score_act", rollouts)
    train(tmp_path / "again", dataclasses.replace(SMALL, checkpoint_minutes=5.0))
    assert [row["step"] for row in curve(tmp_path / "again")] == ["1000", "2000"]
    with np.load(folder / "teacher.npz") as whole, np.load(tmp_path / "again/teacher.npz") as again:
        for name in set(whole.files) - {"card"}:
            np.testing.assert_array_equal(whole[name], again[name])


def test_a_folder_of_another_training_is_refused(trained):
    folder, _ = trained
    with pytest.raises(InvalidInputError, match=f"^seed is 1, the run in {folder} has 0$"):
        train(folder, dataclasses.replace(SMALL, seed=1))
    with pytest.raises(InvalidInputError, match=f"data_sha256 is .*, the run in {folder} has"):
        train(folder, offline=toy_data(3000))


def test_another_environment_is_refused_before_anything_is_written(tmp_path):
    recorded = np.random.default_rng(0)
    path, hopper = tmp_path / "data.npz", environments.get("hopper")
    np.savez(path, observations=recorded.normal(size=(300, 5)), actions=np.zeros((300, 3)))
    with pytest.raises(InvalidInputError, match=r"all rewards are 0|11 observations"):
        train(tmp_path / "run", environment=hopper, offline=data.load_file(path))
    np.savez(
        path,
        observations=recorded.normal(size=(300, 5)),
        actions=np.zeros((300, 3)),
        rewards=recorded.normal(size=300),
    )
    with pytest.raises(InvalidInputError, match="hopper has 11 observations"):
        train(tmp_path / "run", environment=hopper, offline=data.load_file(path))
    assert not (tmp_path / "run").exists()


def test_the_card_says_after_how_many_updates(trained):
    folder, _ = trained
    with np.load(folder / "teacher.npz") as file:
        assert json.loads(str(file["card"]))["step"] == 2000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algorithm": "sac"}, "'sac'; known: rebrac"),
        ({"options": "alpha"}, "options takes name=value,name=value; got 'alpha'"),
        ({"options": "beta=3"}, "no option 'beta'; known: alpha"),
        ({"steps": 1500}, "steps must be a multiple of 1000"),
        ({"steps": 0}, "steps must be a multiple of 1000, got 0"),
        ({"precision": "exact"}, "unknown precision .exact.; known: highest"),
        ({"episodes": 0}, "episodes must be at least 1, got 0"),
        ({"curve_points": 0}, "curve_points must be at least 1, got 0"),
        ({"minutes": 0.0}, "teacher_minutes must be positive, got 0.0"),
        ({"checkpoint_minutes": -1.0}, "checkpoint_minutes must be finite and not be negative"),
        ({"options": "batch_size=100000"}, "fewer than a batch"),
    ],
)
def test_what_cannot_be_trained_is_refused(tmp_path, changes, message):
    with pytest.raises(InvalidInputError, match=message):
        train(tmp_path / "run", dataclasses.replace(SMALL, **changes))
    assert not (tmp_path / "run").exists()


def test_options_are_names_with_values():
    assert parse_options("") == {}
    assert parse_options("alpha=2.5,layers=3") == {"alpha": "2.5", "layers": "3"}


def test_the_learning_rate_of_iql_falls_over_the_whole_training():
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(teachers, "make_algorithm", lambda *given: found.append(given))
        TrainingSettings(algorithm="iql", steps=3000, options="tau=0.8").make(4, 2)
        TrainingSettings(algorithm="iql", steps=3000, options="steps=7")
        TrainingSettings(algorithm="rebrac", steps=3000)
    options = [given[-1] for given in found]
    assert {"steps": "3000", "tau": "0.8"} in options
    assert options[-2:] == [{"steps": "7"}, {}]


QUICK = dataclasses.replace(SMALL, minutes=0.1, steps=100_000)


def test_with_a_budget_it_ends_in_time_annealed_and_averaged(tmp_path):
    folder = tmp_path / "run"
    results = train(folder, QUICK)
    assert 6 <= results["seconds"] < 30  # The block that passes the budget is the last.
    assert 0 < results["steps"] < 100_000
    assert results["steps"] % 250 == 0
    assert results["config"]["teacher_minutes"] == 0.1
    rows = curve(folder)
    assert rows[-1]["step"] == str(results["steps"])
    assert {"progress", "eta_seconds"}.isdisjoint(rows[0])
    before = (folder / "teacher.npz").read_bytes()
    again = train(folder, QUICK)  # It is over, so nothing is trained.
    assert (again["steps"], again["seconds"]) == (results["steps"], results["seconds"])
    with np.load(folder / "teacher.npz") as file, np.load(io.BytesIO(before)) as first:
        for name in set(file.files) - {"card"}:
            np.testing.assert_array_equal(file[name], first[name])
    with pytest.raises(InvalidInputError, match=r"^teacher_minutes is 0.2, the run in .* has 0.1"):
        train(folder, dataclasses.replace(QUICK, minutes=0.2))


def test_annealed_and_averaged_it_learns_the_toy_task(tmp_path):
    results = train(tmp_path / "run", dataclasses.replace(SMALL, minutes=60.0))
    assert results["steps"] == SMALL.steps  # Which end before the hour.
    assert results["returns"]["teacher"]["mean"] > 60


def test_with_a_budget_a_teacher_can_be_used_before_the_end(tmp_path, monkeypatch):
    folder, rollouts = tmp_path / "run", evaluation.score_act

    def stop(*arguments, **options):
        os.kill(os.getpid(), signal.SIGINT)
        return rollouts(*arguments, **options)

    monkeypatch.setattr(evaluation, "score_act", stop)
    with pytest.raises(KeyboardInterrupt):
        train(folder, QUICK)
    (row,) = curve(folder)
    assert teachers.load_teacher(folder / "teacher.npz").action_size == 2
    monkeypatch.setattr(evaluation, "score_act", rollouts)
    results = train(folder, QUICK)
    assert results["steps"] > int(row["step"])
    assert 6 <= results["seconds"] < 30
    assert curve(folder)[0] == row


def test_a_teacher_is_saved_every_minute_of_a_long_budget(tmp_path, monkeypatch):
    monkeypatch.setattr(teacher_training, "_SAVE_SECONDS", 0.0)
    train(tmp_path / "run", dataclasses.replace(QUICK, curve_points=1))
    assert len(curve(tmp_path / "run")) > 1


def test_short_trainings_have_settings_of_their_own_unless_said_otherwise(monkeypatch):
    found = []
    monkeypatch.setattr(teachers, "make_algorithm", lambda *given: found.append(given[-1]))
    for algorithm, options, minutes in (
        ("rebrac", "", None),
        ("rebrac", "", 1.0),
        ("rebrac", "batch_size=64,actor_penalty=0.1", 1.0),
        ("td3_bc", "", 1.0),
        ("iql", "", 1.0),
    ):
        TrainingSettings(algorithm, options, minutes=minutes).make(4, 2)
    assert found[::2] == found[1::2]  # Made once to be checked.
    assert found[::2] == [
        {},
        {"batch_size": "256"},
        {"batch_size": "64", "actor_penalty": "0.1"},
        {"learning_rate": "1e-3"},
        {},
    ]


def test_trainings_without_a_budget_are_those_of_before_there_were_any():
    assert TrainingSettings().identity == {
        "algorithm": "rebrac",
        "options": "",
        "steps": 100_000,
        "precision": "highest",
        "seed": 0,
        "episodes": 20,
        "curve_points": 10,
    }
    assert TrainingSettings(minutes=3.0).identity["teacher_minutes"] == 3.0


def test_without_an_environment_it_is_trained_and_not_scored(tmp_path):
    short = dataclasses.replace(SMALL, steps=1000)
    results = train(tmp_path / "run", short, environment=None)
    assert results["returns"] == {"teacher": None, "data": None}
    assert results["q_calibration"] is None
    assert "environment" not in results["provenance"]
    (row,) = curve(tmp_path / "run")
    assert row["step"] == "1000"
    assert "normalized_return" not in row
    assert teachers.load_teacher(tmp_path / "run/teacher.npz").action_size == 2
    assert "updates/s" in training_summary(results)


def test_a_training_is_summed_up(trained):
    _, results = trained
    row = results["returns"]["teacher"]
    lines = training_summary(results).splitlines()
    assert lines[0].startswith(f"teacher {row['mean']:.1f} [{row['ci95'][0]:.1f}, ")
    assert lines[1] == f"data    {results['returns']['data']['mean']:.1f}"
    assert lines[2].endswith(f"updates/s, {results['seconds']:.0f} s")
    measured = {"predicted": 150.4, "earned": 120.0, "above_random": 0.9}
    text = training_summary({**results, "q_calibration": measured})
    assert "q*: 150 predicted, 120 earned; above 90% of random actions\n" in text


def run_settings(tmp_path, teacher):
    return from_options(
        RunSettings,
        {
            "out": str(tmp_path / "run"),
            "dataset": "toy",
            "teacher": teacher,
            "density": "gaussian",
            "pairs": 8,
            "outer_steps": 10,
            "students": 1,
            "episodes": 1,
            "curve_points": 0,
        },
    )


def test_a_trained_teacher_serves_a_run(trained, tmp_path):
    folder, _ = trained
    results = run(run_settings(tmp_path, str(folder / "teacher.npz")), SILENT)
    assert results["objective"] == "av_pbc"
    assert results["provenance"]["teacher"]["source"] == "teacher by td3_bc"


@pytest.mark.slow
def test_a_teacher_by_algorithm_is_trained_once_for_the_data(tmp_path, monkeypatch):
    monkeypatch.setenv("OBD_JAX_CACHE", str(tmp_path / "cache"))
    few_transitions(monkeypatch, 1000)
    calls = []

    def train_in(folder, settings, *rest):
        calls.append(settings.algorithm)
        return original(folder, dataclasses.replace(settings, steps=1000, episodes=1), *rest)

    original = problem.train_in
    monkeypatch.setattr(problem, "train_in", train_in)
    for _ in range(2):
        prepared = prepared_for(run_settings(tmp_path, "td3_bc"))
        assert prepared.teacher.provenance.source == "teacher by td3_bc"
    assert calls == ["td3_bc"]
    few_transitions(monkeypatch, 900)
    prepared_for(run_settings(tmp_path, "td3_bc"))
    assert len(calls) == 2
    assert len(list((data.default_cache() / "teachers").glob("td3_bc-*"))) == 2


def test_a_run_trains_its_teacher_within_the_minutes_given(tmp_path, monkeypatch):
    monkeypatch.setenv("OBD_JAX_CACHE", str(tmp_path / "cache"))
    found = []

    def train_in(folder, settings, *rest):
        found.append(settings)
        return original(folder, dataclasses.replace(SMALL, steps=1000), *rest)

    original = problem.train_in
    monkeypatch.setattr(problem, "train_in", train_in)
    few_transitions(monkeypatch, 1000)
    chosen = with_options(run_settings(tmp_path, "td3_bc"), teacher_minutes=3.0)
    for _ in range(2):  # The second finds it in the cache.
        assert prepared_for(chosen).teacher.provenance.source == "teacher by td3_bc"
    assert found == [TrainingSettings("td3_bc", minutes=3.0)]


@pytest.mark.parametrize("teacher", [None, "bundled", "none", "teacher.npz"])
def test_minutes_are_for_teachers_that_are_trained(teacher):
    with pytest.raises(InvalidInputError, match="teacher_minutes is for a teacher that is trained"):
        teachers.TeacherSettings(teacher, minutes=3.0)


def test_a_teacher_of_a_task_with_bounds_says_what_its_actions_stand_for(tmp_path):
    spec = environments.get("Pendulum-v1", {"max_episode_steps": 40})
    rows = recorded.roll_out(None, spec, 1600, seed=0)
    outside = {**rows, "actions": spec.action_bounds.denormalize(rows["actions"])}
    offline = data.from_arrays(**outside, action_bounds=spec.action_bounds, note=ignore)
    settings = dataclasses.replace(SMALL, steps=1000, curve_points=1)
    results = train(tmp_path / "run", settings, spec, offline)
    assert results["unit"] == "return"
    assert results["returns"]["teacher"]["mean"] < 0  # Raw: Pendulum only costs.
    assert results["returns"]["data"]["mean"] == pytest.approx(
        np.mean(offline.episode_returns), rel=1e-6
    )
    assert "return" in curve(tmp_path / "run")[0]
    summary = training_summary(results)
    assert ", return\n" in summary
    assert "q*: above " in summary  # Its values cannot be compared within 40 steps.
    teacher = teachers.load_teacher(tmp_path / "run/teacher.npz")
    assert teacher.action_bounds == spec.action_bounds
    assert Problem(offline, teacher, spec).teacher is teacher
    other = environments.get("Pendulum-v1")._replace(action_bounds=ActionBounds((-1.5,), (1.5,)))
    with pytest.raises(InvalidInputError, match=r"acts in \[-2, 2\]; actions .* in \[-1.5, 1.5\]"):
        Problem(offline, teacher, other)


def test_the_same_file_in_other_units_is_another_training(tmp_path, monkeypatch):
    monkeypatch.setenv("OBD_JAX_CACHE", str(tmp_path))
    folders = []
    monkeypatch.setattr(
        problem, "train_in", lambda folder, *_: folders.append(folder) or folder.mkdir(parents=True)
    )
    monkeypatch.setattr(problem.teachers, "load_teacher", lambda _: toy.teacher())
    offline = toy_data(500)
    for bounds in (None, ActionBounds((-2.0,) * 2, (2.0,) * 2)):
        problem._trained(
            TrainingSettings("iql"),
            dataclasses.replace(offline, action_bounds=bounds),
            None,
            SILENT,
        )
    assert len({*folders}) == 2
