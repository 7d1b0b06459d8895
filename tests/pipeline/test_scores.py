"""Reference rows, the curve, and scores as text."""

import dataclasses
import pathlib

import jax
import numpy as np
import pytest

from obd_jax import evaluation
from obd_jax.evaluation import CURVE_EPISODES, CURVE_SEED, CURVE_STUDENTS, FINAL_SEED
from obd_jax.pipeline import scores
from obd_jax.pipeline.scores import (
    Curve,
    run_summary,
    score_references,
    score_teacher,
    table,
)
from obd_jax.reporting import SILENT, Clock
from obd_jax.students import MLPRecipe
from obd_jax.types import SyntheticData
from tests.pipeline.toy_runs import TINY, few_transitions, prepared_for


@pytest.fixture(scope="module")
def prepared():
    with pytest.MonkeyPatch.context() as patch:
        few_transitions(patch)
        return prepared_for(TINY)


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OBD_JAX_CACHE", str(tmp_path / "cache"))


def test_reference_rows_are_scored_once_for_all_that_they_depend_on(prepared, monkeypatch):
    scored, notes = [], []

    def score(_, label, *__):
        scored.append(label)
        return np.full((1, 2), float(len(scored)))

    def score_teacher(*_):
        scored.append("teacher")
        return np.full((1, 2), 50.0)

    monkeypatch.setattr(scores, "score", score)
    monkeypatch.setattr(scores, "score_teacher", score_teacher)

    def rows(given=prepared, pairs=3, settings=TINY.scores):
        scored.clear()
        notes.clear()
        return score_references(settings, pairs, given, SILENT._replace(note=notes.append))

    first = rows()
    assert scored == ["random_real", "teacher"]
    assert rows() == first
    assert scored == []
    assert [note.split(":")[0] for note in notes] == ["random_real", "teacher"]
    rows(pairs=4)
    assert scored == ["random_real"]
    rows(settings=dataclasses.replace(TINY.scores, students=TINY.scores.students + 1))
    assert scored == ["random_real"]
    keys = {**prepared.keys, "students": jax.random.key(99)}
    rows(prepared._replace(keys=keys))
    assert scored == ["random_real"]
    provenance = dataclasses.replace(prepared.teacher.provenance, sha256="another")
    rows(prepared._replace(teacher=prepared.teacher._replace(provenance=provenance)))
    assert scored == ["teacher"]
    # A function is known by what it does on a few states only.
    provenance = dataclasses.replace(provenance, source="function")
    own = prepared._replace(teacher=prepared.teacher._replace(provenance=provenance))
    for _ in range(2):
        rows(own)
        assert scored == ["teacher"]
    rows(prepared._replace(teacher=None))
    assert scored == []


def test_networks_are_scored_as_their_recipe_trains_them(prepared, monkeypatch):
    scored = []

    def score(given, label, synthetic, students, episodes, seed, reporter):
        scored.append((given.recipe, label, synthetic, students, episodes, seed))
        assert not given.student.deterministic
        return np.array([[1.0, 3.0]])

    monkeypatch.setattr(scores, "score", score)
    recipe = MLPRecipe(hidden_sizes=(3,), steps=5)
    row = scores.score_networks(TINY.scores, recipe, prepared, "a set", SILENT)
    assert row["mean"] == 2.0
    sizes = (TINY.scores.students, TINY.scores.episodes)
    assert scored == [(recipe, "networks", "a set", *sizes, FINAL_SEED)]


def test_random_pairs_are_as_many_as_those_that_a_run_starts_from(prepared, monkeypatch):
    start = SyntheticData(*(np.zeros((5, n)) for n in (prepared.data.observation_size, 2)))
    sizes = []

    def score(_, label, synthetic, *__):
        sizes.append((label, len(synthetic.actions)))
        return np.zeros((1, 2))

    monkeypatch.setattr(scores, "score", score)
    pairs = TINY.distillation.start.pairs
    for given in (prepared, prepared._replace(start=start)):
        score_references(TINY.scores, pairs, given, SILENT)
    assert sizes == [("random_real", pairs), ("random_real", 5)]


def test_random_pairs_are_rows_of_all_the_data_with_their_own_actions(prepared, monkeypatch):
    chosen = []
    monkeypatch.setattr(
        scores, "score", lambda _, __, synthetic, *___: chosen.append(synthetic) or np.zeros((1, 2))
    )
    # Only a part is distilled, and the rows are drawn from all.
    few = prepared._replace(kept=None, own=None)
    score_references(TINY.scores, 300, few, SILENT)
    raw = np.asarray(prepared.normalizer.denormalize(chosen[0].observations))
    gaps = np.abs(prepared.data.observations[None] - raw[:, None]).max(axis=2)
    rows = gaps.argmin(axis=1)
    assert gaps.min(axis=1).max() < 1e-5
    assert len(set(rows)) == 300
    np.testing.assert_allclose(prepared.data.actions[rows], chosen[0].actions, atol=1e-6)


def test_the_teacher_is_scored_on_the_final_seed_and_on_others_if_asked(prepared, monkeypatch):
    asked = []

    def score_act(act, environment, *, episodes, seed, progress):
        asked.append((episodes, seed, act is prepared.teacher.act, environment.name))
        return np.zeros((1, episodes))

    monkeypatch.setattr(evaluation, "score_act", score_act)
    assert score_teacher(prepared, SILENT).shape == (1, 20)
    score_teacher(prepared, SILENT, 3, 7)
    assert asked == [(20, FINAL_SEED, True, "point-mass"), (3, 7, True, "point-mass")]


class Folder:
    """Takes metrics."""

    def __init__(self):
        self.records = []

    def add_metrics(self, record):
        self.records.append(record)


def test_the_curve_has_its_points_along_the_steps(prepared, monkeypatch):
    asked = []

    def score(_, label, __, students, episodes, seed, ___):
        asked.append((label, students, episodes, seed))
        return np.array([[1.0, 3.0], [4.0, 6.0]])

    monkeypatch.setattr(scores, "score", score)

    class State:
        synthetic = None

    def along(points):
        folder, clock = Folder(), Clock()
        curve = Curve(prepared, 40, points, folder, clock, SILENT)
        curve.score(None, {"step": 0, "seconds": 0.0})
        for step in (10, 20, 30, 40):
            record = {
                "step": step,
                "seconds": step / 10,
                "loss": 1.0,
                "eta_seconds": 0.0,
                "progress": step / 40,
            }
            curve(State, record)
        return curve, folder, clock

    curve, folder, clock = along(2)
    assert [point["step"] for point in curve.returns] == [0, 20, 40]
    assert curve.returns[1] == {"step": 20, "seconds": 2.0, "return": 3.5, "low": 2.0, "high": 5.0}
    assert [record["step"] for record in curve.losses] == [10, 20, 30, 40]
    assert folder.records == [
        curve.returns[0],
        *curve.losses[:2],
        curve.returns[1],
        *curve.losses[2:],
        curve.returns[2],
    ]
    assert set(asked) == {("curve", CURVE_STUDENTS, CURVE_EPISODES, CURVE_SEED)}
    assert set(clock.seconds) == {"curve"}
    assert curve.about == {
        "students": CURVE_STUDENTS,
        "episodes": CURVE_EPISODES,
        "seed": CURVE_SEED,
        "last": 3.5,
    }
    # Without points nothing is scored.
    asked.clear()
    curve, folder, clock = along(0)
    assert (curve.returns, asked, clock.seconds) == ([], [], {})
    assert curve.about is None
    assert folder.records == curve.losses


def test_a_curve_takes_up_the_records_of_the_process_before(prepared, monkeypatch):
    curve = Curve(prepared, 40, 2, Folder(), Clock(), SILENT)
    loss, point = {"step": 10, "loss": 0.5}, {"step": 10, "return": 3.0}
    curve.resume([point, loss])
    assert (curve.losses, curve.returns) == ([loss], [point])


def test_the_summary_says_how_the_curves_last_point_is_not_the_score(prepared):
    row = {"mean": 94.8, "iqm": 95.0, "ci95": (90, 99), "per_student": [94.8], "episodes": 100}
    results = {
        "returns": {"synthetic": row},
        "unit": UNIT,
        "curve": {"students": 1, "episodes": 10, "seed": 1, "last": 68.0},
        "seconds": {},
        "outer_steps": 20,
        "provenance": {"data": {"source": "arrays", "name": "mine"}},
    }
    said = run_summary(results, pathlib.Path("runs/a/distilled.npz"))
    assert (
        "curve: its last point 68.0 is over 10 episodes; the score 94.8 is over 100 other episodes"
    ) in said.splitlines()
    several = {"students": 5, "episodes": 2, "seed": 1, "last": 68.0}
    said = run_summary({**results, "curve": several}, pathlib.Path("a"))
    assert "68.0 is over 5 students, 2 episodes each;" in said
    assert "curve" not in run_summary({**results, "curve": None}, pathlib.Path("a"))
    alone = prepared._replace(student=prepared.student._replace(deterministic=True))
    curve = Curve(alone, 40, 2, Folder(), Clock(), SILENT)
    curve.resume([{"step": 40, "return": 68.0}])
    assert curve.about["students"] == 1
    assert curve.about["episodes"] == CURVE_STUDENTS * CURVE_EPISODES


@pytest.mark.parametrize("teacher", [49.0, 50.0, None])
def test_the_summary_says_that_a_teacher_is_worse_than_its_data(teacher):
    means = {"synthetic": 40.0, "data": 50.0, **({} if teacher is None else {"teacher": teacher})}
    row = {"iqm": 1.0, "ci95": (0, 2), "per_student": [1.0], "episodes": 10}
    results = {
        "returns": {name: {**row, "mean": mean} for name, mean in means.items()},
        "unit": UNIT,
        "curve": None,
        "seconds": {},
        "outer_steps": 20,
        "provenance": {"data": {"source": "arrays", "name": "mine"}},
    }
    said = run_summary(results, pathlib.Path("a"))
    assert ("the teacher scores less than its data" in said) == (teacher == 49.0)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"name": "hopper"}, None),
        ({"reference_returns": [-9.5, 1200.0]}, "returns -9.5 and 1200 score 0 and 100, as given"),
        (
            {"reference_returns": [0, 9], "reference_source": "mine/a-v0"},
            "returns 0 and 9 score 0 and 100, by the metadata of mine/a-v0",
        ),
    ],
)
def test_the_summary_says_whose_reference_returns_are_not_d4rls(environment, said):
    results = {
        "returns": {},
        "curve": None,
        "seconds": {},
        "outer_steps": 20,
        "provenance": {
            "data": {"source": "minari", "name": "mine/a-v0"},
            "environment": environment,
        },
    }
    lines = run_summary(results, pathlib.Path("a")).splitlines()
    assert [line for line in lines if "score 0" in line] == ([said] if said else [])


UNIT = "normalised return"
ROW = {"mean": 1.0, "iqm": 2.0, "ci95": (0, 3), "per_student": [1.0, 4.0]}


@pytest.mark.parametrize(
    ("row", "line"),
    [(None, "a - the data has no complete episode"), (ROW, "a 1.0 2.0 [0.0, 3.0] 1 4")],
)
def test_a_row_is_a_line_of_the_table(row, line):
    head, found = table({"a": row}, UNIT).splitlines()
    assert head.split() == [*UNIT.split(), "mean", "iqm", "95%", "interval", "per", "student"]
    assert found.split() == line.split()
