"""Training a teacher, on the toy task: what it writes, that it goes on, what it refuses."""

import csv
import dataclasses
import json
import os
import signal

import inputs
import numpy as np
import pytest
import run_sdw
import setup_run
import teachers_table
import train_teacher
from config import Config as RunConfig

from obd_jax import data, evaluation, teachers
from obd_jax.types import InvalidInputError

SMALL = train_teacher.Config(
    dataset="toy",
    algorithm="td3_bc",
    options="batch_size=32",
    steps=2000,
    episodes=3,
    curve_points=2,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inputs, "TOY_TRANSITIONS", 4000)
        return folder, train_teacher.run(dataclasses.replace(SMALL, out=str(folder)))


def curve(folder):
    with open(folder / "curve.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_it_writes_teacher_results_and_curve(trained):
    folder, results = trained
    assert json.loads((folder / "results.json").read_text())["returns"] == results["returns"]
    assert len(results["returns"]["teacher"]["per_student"]) == 1
    assert results["steps_per_second"] > 0
    assert results["q_calibration"] is None  # There are no rollouts of the toy task in Gymnasium.
    assert results["provenance"]["data"]["name"]
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
    monkeypatch.setattr(inputs, "TOY_TRANSITIONS", 4000)
    config = dataclasses.replace(SMALL, out=str(tmp_path / "again"))
    rollouts = evaluation.score_policies

    def stop(*arguments, **options):
        os.kill(os.getpid(), signal.SIGINT)
        return rollouts(*arguments, **options)

    monkeypatch.setattr(evaluation, "score_policies", stop)
    with pytest.raises(KeyboardInterrupt):
        train_teacher.run(config)
    assert len(curve(tmp_path / "again")) == 1
    monkeypatch.setattr(evaluation, "score_policies", rollouts)
    train_teacher.run(config)
    assert [row["step"] for row in curve(tmp_path / "again")] == ["1000", "2000"]
    with np.load(folder / "teacher.npz") as whole, np.load(tmp_path / "again/teacher.npz") as again:
        for name in set(whole.files) - {"card"}:
            np.testing.assert_array_equal(whole[name], again[name])


def test_a_folder_of_another_training_is_refused(trained, monkeypatch):
    folder, _ = trained
    monkeypatch.setattr(inputs, "TOY_TRANSITIONS", 4000)
    other = dataclasses.replace(SMALL, out=str(folder), seed=1)
    with pytest.raises(InvalidInputError, match=f"--seed is 1, the run in {folder} has 0"):
        train_teacher.run(other)
    monkeypatch.setattr(inputs, "TOY_TRANSITIONS", 3000)
    with pytest.raises(InvalidInputError, match=f"data_sha256 is .*, the run in {folder} has"):
        train_teacher.run(dataclasses.replace(SMALL, out=str(folder)))


def test_another_environment_is_refused_before_anything_is_written(tmp_path):
    recorded = np.random.default_rng(0)
    path = tmp_path / "data.npz"
    np.savez(path, observations=recorded.normal(size=(300, 5)), actions=np.zeros((300, 3)))
    changes = {"dataset": None, "dataset_path": str(path), "env": "hopper"}
    config = dataclasses.replace(SMALL, **changes, out=str(tmp_path / "run"))
    with pytest.raises(InvalidInputError, match=r"all rewards are 0|11 observations"):
        train_teacher.run(config)
    np.savez(
        path,
        observations=recorded.normal(size=(300, 5)),
        actions=np.zeros((300, 3)),
        rewards=recorded.normal(size=300),
    )
    with pytest.raises(InvalidInputError, match="hopper has 11 observations"):
        train_teacher.run(config)
    assert not (tmp_path / "run").exists()


def test_the_card_says_after_how_many_updates(trained):
    folder, _ = trained
    with np.load(folder / "teacher.npz") as file:
        assert json.loads(str(file["card"]))["step"] == 2000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"out": None}, "--out is required"),
        ({"dataset": None}, "either --dataset or --dataset_path"),
        ({"algorithm": "sac"}, "'sac'; known: rebrac"),
        ({"options": "alpha"}, "name=value"),
        ({"options": "beta=3"}, "no option 'beta'; known: alpha"),
        ({"steps": 1500}, "multiple of 1000"),
        ({"precision": "exact"}, "unknown precision .exact.; known: highest"),
        ({"episodes": 0}, "--episodes must be at least 1"),
        ({"options": "batch_size=100000"}, "fewer than a batch"),
    ],
)
def test_what_cannot_be_trained_is_refused(tmp_path, changes, message):
    config = dataclasses.replace(SMALL, **{"out": str(tmp_path / "run"), **changes})
    with pytest.raises(InvalidInputError, match=message):
        train_teacher.run(config)
    assert not (tmp_path / "run").exists()


def run_config(tmp_path, teacher):
    return RunConfig(
        out=str(tmp_path / "run"),
        dataset="toy",
        teacher=teacher,
        density="gaussian",
        pairs=8,
        outer_steps=10,
        students=1,
        episodes=1,
        curve_points=0,
    )


def test_a_trained_teacher_serves_a_run(trained, tmp_path):
    folder, _ = trained
    results = run_sdw.run(run_config(tmp_path, str(folder / "teacher.npz")))
    assert results["objective"] == "av_pbc"
    assert results["provenance"]["teacher"]["source"] == "teacher by td3_bc"


def test_a_teacher_by_algorithm_is_trained_once_for_the_data(tmp_path, monkeypatch):
    monkeypatch.setenv("OBD_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(inputs, "TOY_TRANSITIONS", 1000)
    calls = []

    def fit(config, environment, offline):
        calls.append(config.algorithm)
        return original(dataclasses.replace(config, steps=1000, episodes=1), environment, offline)

    original = train_teacher.fit
    monkeypatch.setattr(train_teacher, "fit", fit)
    for _ in range(2):
        setup = setup_run.prepare(run_config(tmp_path, "td3_bc"))
        assert setup.teacher.provenance.source == "teacher by td3_bc"
    assert calls == ["td3_bc"]
    monkeypatch.setattr(inputs, "TOY_TRANSITIONS", 900)
    setup_run.prepare(run_config(tmp_path, "td3_bc"))
    assert len(calls) == 2
    assert len(list((data.default_cache() / "teachers").glob("td3_bc-*"))) == 2


def test_the_table_has_a_row_for_each_training(trained, capsys):
    folder, results = trained
    table = teachers_table.run(teachers_table.Config(runs=str(folder.parent)))
    (_, _, line) = table.splitlines()
    assert f"| toy | td3_bc | 0 | 2,000 | {results['returns']['teacher']['mean']:.1f} [" in line
    assert line.count("|") == len(teachers_table.COLUMNS) + 1
    measured = {
        "predicted": 150.0,
        "earned": 120.0,
        "rank_correlation": 0.5,
        "above_random": 0.9,
        "effective_sample_fraction": None,
        "negative": 0.25,
    }
    line = teachers_table.row({**results, "q_calibration": measured})
    assert "| 150 | 120 | 0.50 | 90% |  | 25% |" in line
    assert line.count("|") == len(teachers_table.COLUMNS) + 1
    with pytest.raises(InvalidInputError, match=r"no results\.json"):
        teachers_table.run(teachers_table.Config(runs=str(folder)))
