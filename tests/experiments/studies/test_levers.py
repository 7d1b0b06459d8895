"""Work of distillation, spent in different ways."""

import json
from types import SimpleNamespace

import jax
import levers
import numpy as np
import pytest

from obd_jax import distill
from obd_jax.pipeline import RunSettings
from obd_jax.pipeline.stages import Stage
from obd_jax.settings import from_options, with_options
from obd_jax.types import InvalidInputError, SyntheticData

BASE = from_options(
    RunSettings,
    {
        "student": "mlp",
        "hidden_sizes": (8,),
        "inner_steps": 8,
        "outer_steps": 40,
        "pairs": 8,
        "batch_size": 32,
        "temperature": 0.0,
    },
)


@pytest.mark.parametrize("name", levers.LEVERS)
def test_every_lever_does_the_same_work(name, monkeypatch):
    def stages(students, outer, action_size):  # Students differ by their training steps.
        assert action_size == 2
        return [Stage([(1.0, students.recipe.steps)], 1.0, outer.steps, 0.1)]

    monkeypatch.setattr(levers, "stages", stages)
    plan = levers.plan(BASE.distillation, levers.LEVERS[name], 2)
    assert sum(stage.steps * t for stage in plan for _, t in stage.students) == 40 * 8
    assert plan[-1].students[0][1] == 8
    for stage in plan:
        assert sum(weight for weight, _ in stage.students) == pytest.approx(1.0)


@pytest.mark.slow
def test_sets_are_scored_and_kept(tmp_path, monkeypatch):
    path = tmp_path / "trials.jsonl"
    names = ("one student", "short trainings first")
    base = with_options(BASE, outer_steps=80)
    wanted = levers.LeverSettings(("toy",), names, (3,), str(path))
    found = levers.run(base, wanted)
    assert list(found) == [n + suffix for n in names for suffix in ("", levers.AVERAGED)]
    assert found["one student"] != found["one student" + levers.AVERAGED]
    assert found["one student"] != found["short trainings first"]
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert [record["cell"]["lever"] for record in records] == [*names]
    assert records[0]["cell"]["base"]["outer_steps"] == 80
    assert (records[0]["cell"]["dataset"], records[0]["cell"]["seed"]) == ("toy", 3)
    monkeypatch.setattr(levers, "trial", None)
    assert levers.run(base, wanted) == found


def test_the_average_is_that_of_the_last_quarter(monkeypatch):
    def train(key, distiller, targets, synthetic, *, callback, steps, **_):
        for step in range(10, steps + 1, 10):
            synthetic = SyntheticData(np.full((2, 3), step), np.full((2, 1), -step))
            callback(
                SimpleNamespace(synthetic=synthetic),
                {"step": step, "eta_seconds": 0.0, "loss": 0.0},
            )
        return SimpleNamespace(synthetic=synthetic), []

    prepared = SimpleNamespace(
        data=SimpleNamespace(action_size=2), keys={"distil": jax.random.key(0)}
    )
    objective = SimpleNamespace(targets=None)
    monkeypatch.setattr(distill, "train", train)
    monkeypatch.setattr(levers, "initial_set", lambda *_: None)
    found = levers.distil(BASE.distillation, prepared, objective, levers.LEVERS["one student"])
    np.testing.assert_array_equal(found[""].observations, 40)
    np.testing.assert_array_equal(found[levers.AVERAGED].actions, -40)
    longer = with_options(BASE.distillation, outer_steps=80)
    found = levers.distil(longer, prepared, objective, levers.LEVERS["one student"])
    np.testing.assert_array_equal(found[levers.AVERAGED].observations, 75)


@pytest.mark.parametrize(
    ("changes", "names", "message"),
    [
        ({"student": "kernel"}, ("one student",), "student=mlp, got kernel"),
        ({"inner_steps": 3}, ("one student",), "four training steps"),
        (
            {"inner_steps": 8, "meta_gradient": "truncated", "window": 4},
            ("one student",),
            "window must be at most the smallest of inner_steps and also_steps, 2, got 4",
        ),
        ({}, ("three",), "unknown lever 'three'; known: one student, two students"),
    ],
)
def test_bad_input_is_refused(tmp_path, changes, names, message):
    def run():
        wanted = levers.LeverSettings(("toy",), names, (0,), str(tmp_path / "x"))
        levers.run(with_options(BASE, **changes), wanted)

    with pytest.raises(InvalidInputError, match=message):
        run()
    assert not (tmp_path / "x").exists()
