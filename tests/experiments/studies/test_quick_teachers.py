"""The study of quick teachers: which trainings there are, what is kept, and its table."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import quick_teachers
from quick_teachers import Cell, StudySettings

from obd_jax import toy
from obd_jax.reporting import SILENT
from obd_jax.settings import OptionError
from tests.pipeline.toy_runs import few_transitions

SMALL = StudySettings(datasets=("toy",), quick=("td3_bc",), seeds=(1,), episodes=2)


def result(cell, mean, data=40.0):
    return {
        "config": cell._asdict(),
        "returns": {"teacher": {"mean": mean}, "data": {"mean": data}},
        "seconds": 90.0,
        "steps": 4500,
        "steps_per_second": 50.0,
    }


def test_every_algorithm_is_trained_on_every_data_set():
    found = [*quick_teachers.cells(StudySettings())]
    assert len({cell.name for cell in found}) == len(found) == 3 * 2 * 2 + 3
    assert {cell.minutes for cell in found} == {3.0, None}
    assert found[0].name == "hopper-medium-td3_bc-3min-1"
    assert found[-1].name == "halfcheetah-medium-td3_bc-full-0"


@pytest.mark.slow
def test_results_are_kept(tmp_path, monkeypatch, capsys):
    few_transitions(monkeypatch, 1000)
    monkeypatch.setattr(
        quick_teachers,
        "load_data",
        lambda *_: (toy.offline_data(jax.random.key(0), 1000), toy.SPEC),
    )
    made = []
    original = quick_teachers.train_in

    def train_in(folder, training, *rest):
        made.append(training)
        short = dataclasses.replace(training, steps=1000, options="batch_size=8")
        return original(folder, short, *rest)

    monkeypatch.setattr(quick_teachers, "train_in", train_in)
    settings = dataclasses.replace(SMALL, work=str(tmp_path / "work"), out=str(tmp_path / "out"))
    table = quick_teachers.run(settings, SILENT)
    assert table in capsys.readouterr().out
    assert [(each.algorithm, each.minutes, each.seed) for each in made] == [
        ("td3_bc", 3.0, 1),
        ("td3_bc", None, 0),
    ]
    kept = json.loads((tmp_path / "out/toy-td3_bc-3min-1.json").read_text())
    assert kept["training"]["teacher_minutes"] == 3.0
    assert kept["curve"][0].startswith("step,seconds,")
    assert np.isfinite(kept["returns"]["teacher"]["mean"])
    assert quick_teachers.run(settings, SILENT) == table  # Without a training.
    assert len(made) == 2
    with pytest.raises(OptionError, match="made with episodes=2, not 3"):
        quick_teachers.run(dataclasses.replace(settings, episodes=3), SILENT)


def test_the_share_is_of_the_best_full_training_on_the_data_set():
    table = [
        *quick_teachers.lines_of(
            [
                result(Cell("d", "rebrac", 3.0, 1), 70.0),
                result(Cell("d", "rebrac", 3.0, 2), 90.0),
                result(Cell("d", "td3_bc", None, 0), 100.0),
                result(Cell("d", "rebrac", None, 0), 50.0),
                result(Cell("e", "rebrac", 3.0, 1), 70.0),
            ]
        )
    ]
    quick = "| d | rebrac | 1.5 | 4,500 | 50 | 70.0, 90.0 | 80.0 | 80% | 40.0 |"
    assert quick in table
    assert "| d | td3_bc, full | 1.5 | 4,500 | 50 | 100.0 | 100.0 | 100% | 40.0 |" in table
    assert "| e | rebrac | 1.5 | 4,500 | 50 | 70.0 | 70.0 |  | 40.0 |" in table
    assert {line.count("|") for line in table} == {10}
