"""Scores of sets with students that they were not made for."""

import json

import generalize
import pytest
import rescoring
from other_students import RECIPE

from obd_jax import pipeline
from obd_jax.pipeline import RunSettings
from obd_jax.settings import from_options
from obd_jax.types import InvalidInputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("sets") / "toy" / "dbc-kernel-0"
    tiny = {"outer_steps": 5, "pairs": 8, "batch_size": 32, "students": 1, "episodes": 2}
    options = {"dataset": "toy", "out": str(out), "temperature": 0.0, "curve_points": 0, **tiny}
    pipeline.run(from_options(RunSettings, options))
    return out


@pytest.mark.slow
def test_scores_are_kept_and_tabulated(folder, tmp_path, monkeypatch):
    scores = tmp_path / "scores.jsonl"
    settings = generalize.GeneralizationSettings(
        sets=(str(folder),), scores=str(scores), students="residual;AdamW 0.001;kernel"
    )
    table = generalize.run(settings)
    records = [json.loads(line) for line in scores.read_text().splitlines()]
    assert [r["students"] for r in records] == ["residual", "AdamW 0.001", "kernel"]
    assert {r["set"] for r in records} == {"toy/dbc-kernel-0"}
    assert records[0]["student"]["residual"]
    assert records[1]["student"]["optimizer"] == "adamw"
    assert len(records[0]["per_student"]) == 10
    assert "| residual | " in table
    monkeypatch.setattr(rescoring, "rescore", None)
    assert generalize.run(settings) == table


def test_scores_of_another_set_of_the_same_name_are_not_taken(folder, tmp_path):
    scores = tmp_path / "scores.jsonl"
    settings = generalize.GeneralizationSettings(
        sets=(str(folder),), scores=str(scores), students="kernel"
    )
    generalize.run(settings)
    record = json.loads(scores.read_text())
    scores.write_text(json.dumps({**record, "provenance": None}).replace('"provenance"', '"old"'))
    assert generalize.run(settings)  # Who does not say of which set is not believed.
    record["provenance"]["set"]["sha256"] = "of another"
    scores.write_text(json.dumps(record) + "\n")
    with pytest.raises(InvalidInputError, match="of another set toy/dbc-kernel-0; give"):
        generalize.run(settings)


def test_students_that_diverge_are_a_finding(folder, tmp_path, monkeypatch):
    hot = {**RECIPE, "inner_learning_rate": 1e30}
    monkeypatch.setitem(generalize.STUDENTS, "hot", hot)
    settings = generalize.GeneralizationSettings(
        sets=(str(folder),), scores=str(tmp_path / "scores.jsonl"), students="hot"
    )
    assert generalize.run(settings).endswith("| hot | diverges |")
    assert generalize.run(settings).endswith("| hot | diverges |")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "sets is required"),
        ({"sets": ("nowhere",)}, "nowhere holds no distilled"),
        ({"students": "giant"}, "unknown students 'giant'; known: the papers' recipe"),
    ],
)
def test_bad_input_is_refused(folder, changes, message):
    given = {"sets": (str(folder),), **changes} if changes else {}
    with pytest.raises(InvalidInputError, match=message):
        generalize.run(generalize.GeneralizationSettings(**given))
