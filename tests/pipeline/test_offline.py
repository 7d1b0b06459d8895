"""Runs without an environment, and measures on episodes that nothing was trained on."""

import json

import jax
import numpy as np
import pytest

from obd_jax import Problem, data, distill, synthesize, toy
from obd_jax.pipeline import offline, problem, run
from obd_jax.pipeline.preparation import prepare
from obd_jax.pipeline.scores import run_summary
from obd_jax.pipeline.settings import RunSettings
from obd_jax.reporting import SILENT
from obd_jax.settings import from_options, with_options
from obd_jax.types import InvalidInputError
from tests.pipeline.toy_runs import TINY, few_transitions

OFFLINE = with_options(
    TINY, env="none", student="kernel", outer_learning_rate=0.05, fqe_steps=100, pairs=16
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Folder, results and notes of a run without an environment."""
    folder, notes = tmp_path_factory.mktemp("offline") / "run", []
    with pytest.MonkeyPatch.context() as patch:
        few_transitions(patch, 2000)
        reporter = SILENT._replace(note=notes.append)
        results = run(with_options(OFFLINE, out=str(folder)), reporter)
    return folder, results, notes


def test_a_run_without_an_environment_is_judged_offline(finished):
    folder, results, _ = finished
    assert results == json.loads((folder / "results.json").read_text())
    assert results["returns"] == {}
    assert results["unit"] is results["curve"] is None
    assert "environment" not in results["provenance"]
    measures = results["offline"]
    assert measures["error_to"] == "teacher"
    assert measures["held_out"]["episodes"] == 2
    assert measures["held_out"]["states"] == 200
    policies = measures["policies"]
    assert list(policies) == ["synthetic", "random_real", "teacher", "data"]
    for name in ("synthetic", "random_real", "data"):
        row = policies[name]
        assert len(row["by_density"]) == 10
        assert np.mean(row["by_density"]) == pytest.approx(row["action_error"], rel=1e-6)
        assert 0.5 < row["teacher_preferred"] <= 1
        assert row["advantage_lost"] > 0
    assert set(policies["teacher"]) == {"fitted_q"}
    for row in policies.values():
        assert len(row["fitted_q"]["members"]) == offline.MEMBERS
    # The data act by the teacher with noise, students on random pairs of them no better.
    assert policies["synthetic"]["action_error"] < policies["random_real"]["action_error"]
    for name in ("distilled.npz", "card.json", "curve.png", "metrics.jsonl"):
        assert (folder / name).is_file()


def test_its_summary_shows_the_measures(finished):
    folder, results, _ = finished
    summary = run_summary(results, folder / "distilled.npz")
    assert "200 states of 2 episodes held out" in summary
    assert "error to teacher" in summary
    for name in ("synthetic", "random_real", "teacher", "data"):
        assert f"\n{name} " in summary
    assert "95% interval" not in summary


def test_what_is_held_out_is_said(finished):
    _, results, notes = finished
    assert "200 states are held out; 1,800 remain" in notes
    assert results["provenance"]["data"]["name"] == "point-mass, without 0.1 held out"


def loaded(**options):
    settings = from_options(
        RunSettings,
        {"dataset": "toy", "density": "gaussian", "pairs": 8, "student": "kernel", **options},
    )
    return problem.load_problem(settings, SILENT)


@pytest.mark.parametrize(
    ("options", "held"),
    [
        ({}, 0),
        ({"env": "none"}, 200),
        ({"holdout": 0.2}, 400),
        ({"env": "none", "holdout": 0.0}, 0),
    ],
)
def test_episodes_are_held_out_when_asked_or_without_an_environment(monkeypatch, options, held):
    few_transitions(monkeypatch, 2000)
    found = loaded(**options)
    assert len(found.data) == 2000 - held
    assert (0 if found.held_out is None else len(found.held_out)) == held
    assert (found.environment is None) == (options.get("env") == "none")


def test_nothing_is_trained_on_what_is_held_out(monkeypatch):
    few_transitions(monkeypatch, 2000)
    whole, found = toy.offline_data(jax.random.key(0), 2000), loaded(env="none")
    both = np.concatenate([found.data.observations, found.held_out.observations])
    assert len(np.unique(both, axis=0)) == len(np.unique(whole.observations, axis=0))
    settings = from_options(RunSettings, {"density": "gaussian", "pairs": 8}).distillation
    prepared = prepare(jax.random.key(0), found, settings, SILENT)
    learned = {row.tobytes() for row in prepared.kept.observations}
    assert not learned & {row.tobytes() for row in found.held_out.observations}
    assert len(prepared.own.actions) == len(found.data)
    trained = []
    monkeypatch.setattr(
        problem, "_trained", lambda _, given, *__: trained.append(given) or toy.teacher()
    )
    loaded(env="none", teacher="iql")
    assert [len(given) for given in trained] == [1800]
    assert trained[0].provenance.sha256 != whole.provenance.sha256


def test_measures_stand_beside_returns_where_there_is_an_environment(monkeypatch, tmp_path):
    few_transitions(monkeypatch, 2000)
    settings = with_options(OFFLINE, env=None, holdout=0.1, fqe_steps=0, curve_points=0)
    results = run(with_options(settings, out=str(tmp_path / "run")), SILENT)
    assert set(results["returns"]) == {"synthetic", "random_real", "data", "teacher"}
    assert results["unit"] == "normalised return"
    assert list(results["offline"]["policies"]) == ["synthetic", "random_real", "teacher", "data"]
    assert "fitted_q" not in results["offline"]["policies"]["synthetic"]


def test_without_a_teacher_errors_are_to_the_data(monkeypatch):
    kept, held = data.hold_out(toy.offline_data(jax.random.key(0), 1000), 0.2)
    given = Problem(kept, "none", held_out=held)
    result = synthesize(
        jax.random.key(0), given, pairs=16, outer_steps=5, density="gaussian", reporter=SILENT
    )
    assert result.distilled.card["objective"] == "dbc"
    measures = result.judge(fqe_steps=0, reporter=SILENT)
    assert measures["error_to"] == "data"
    assert list(measures["policies"]) == ["synthetic", "random_real", "data"]
    assert measures["policies"]["data"] == {}
    error = np.square(result.policy(held.observations) - held.actions).mean()
    assert measures["policies"]["synthetic"]["action_error"] == pytest.approx(error, rel=1e-4)


def test_judging_needs_episodes_that_are_held_out():
    given = Problem(toy.offline_data(jax.random.key(0), 500))
    result = synthesize(
        jax.random.key(0), given, pairs=8, outer_steps=2, density="gaussian", reporter=SILENT
    )
    with pytest.raises(InvalidInputError, match="no held_out episodes"):
        result.judge(reporter=SILENT)


def test_the_teachers_error_to_itself_is_the_noise_of_the_data(monkeypatch):
    """Its own actions with clipped Gaussian noise: an error and a loss that are known."""
    kept, held = data.hold_out(toy.offline_data(jax.random.key(0), 3000), 0.3)
    settings = from_options(
        RunSettings, {"density": "gaussian", "pairs": 8, "student": "kernel"}
    ).distillation
    prepared = prepare(jax.random.key(0), Problem(kept, held_out=held), settings, SILENT)
    few = distill.choose(jax.random.key(0), distill.uniform, prepared.own, 8)
    row = offline.judge(prepared, {"few": few}, 1, 0, SILENT)["policies"]["data"]
    teacher = toy.teacher()
    wanted = np.asarray(teacher.act(held.observations))
    assert row["action_error"] == pytest.approx(
        np.square(held.actions - wanted).mean(dtype=float), rel=1e-5
    )
    values = [np.asarray(teacher.value(held.observations, a)) for a in (wanted, held.actions)]
    assert row["advantage_lost"] == pytest.approx(np.mean(values[0] - values[1]), rel=1e-3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"holdout": 1.0}, r"holdout must be in \[0, 1\), got 1.0"),
        ({"fqe_steps": 750}, "fqe_steps must be 0 or a multiple of 100, got 750"),
    ],
)
def test_unusable_options_are_refused(options, words):
    with pytest.raises(InvalidInputError, match=words):
        from_options(RunSettings, {"dataset": "toy", **options})
