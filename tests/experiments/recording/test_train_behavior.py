"""Training a behaviour policy: files, resuming, refusals."""

import csv
import dataclasses

import numpy as np
import pytest
import train_behavior

from obd_jax import recorded
from obd_jax.types import InvalidInputError

TINY = train_behavior.Config(
    env="hopper",
    steps=2000,
    batch_size=4,
    random_steps=1000,
    interval=1000,
    checkpoint_interval=1000,
)


def rows_of(folder):
    with open(folder / "curve.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_training_leaves_its_files_and_resumes_from_them(tmp_path, capsys):
    folder = train_behavior.train(dataclasses.replace(TINY, out=str(tmp_path / "run")))
    assert sorted(file.name for file in folder.iterdir()) == [
        "checkpoint.npz",
        "config.json",
        "curve.csv",
        "policies",
    ]
    first = rows_of(folder)
    assert [int(row["steps"]) for row in first] == [1000, 2000]
    assert sum(int(row["episodes"]) for row in first) > 10
    assert all(np.isfinite(float(row["normalized_return"])) for row in first)

    longer = dataclasses.replace(TINY, out=str(folder), steps=3000)
    train_behavior.train(longer)
    assert "resumes from" in capsys.readouterr().err
    again = rows_of(folder)
    assert again[:2] == first
    assert [int(row["steps"]) for row in again] == [1000, 2000, 3000]
    assert float(again[2]["seconds"]) > float(again[1]["seconds"])
    names = sorted(file.name for file in (folder / "policies").iterdir())
    assert names == ["00001000.npz", "00002000.npz", "00003000.npz"]
    actions = recorded.load(folder / "policies" / names[-1]).sample(
        np.random.default_rng(0), np.zeros((5, 11), np.float32)
    )
    assert actions.shape == (5, 3)
    assert np.abs(actions).max() <= 1

    with pytest.raises(InvalidInputError, match=r"steps is 1000, and .*checkpoint.npz has 3000"):
        train_behavior.train(dataclasses.replace(longer, steps=1000))
    assert rows_of(folder) == again
    with pytest.raises(InvalidInputError, match=r"batch_size is 8, the run in .* has 4"):
        train_behavior.train(dataclasses.replace(longer, batch_size=8))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"env": None}, "env and out are required"),
        ({"env": "swimmer"}, "unknown environment 'swimmer'"),
        ({"interval": 1500}, "multiple of"),
        ({"checkpoint_interval": 2500}, "multiple of"),
        ({"batch_size": 0}, "batch_size must be positive, got 0"),
        ({"learning_rate": 0.0}, r"learning_rate must be positive, got 0\.0"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_written(tmp_path, changes, words):
    config = dataclasses.replace(TINY, out=str(tmp_path / "run"), **changes)
    with pytest.raises(InvalidInputError, match=words):
        train_behavior.train(config)
    assert not (tmp_path / "run").exists()
