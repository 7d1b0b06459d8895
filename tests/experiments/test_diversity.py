"""The study of parts of a data set, on a thousand rows."""

import json

import diversity
import numpy as np
import pytest
import setup_run
from config import Config

from obd_jax.types import InvalidInputError


def study(folder, **changes):
    given = {
        "out": str(folder),
        "datasets": "hopper-medium",
        "data_rows": 1000,
        "seeds": (0,),
        "parts": "quality;all",
        "points": (0, 10),
    }
    return diversity.StudyConfig(**{**given, **changes})


def test_every_part_is_measured_once(tmp_path, monkeypatch):
    monkeypatch.setattr(diversity, "EPISODES", 1)
    monkeypatch.setattr(diversity, "STATES", 100)
    paths = diversity.run(study(tmp_path))
    assert [path.name for path in paths] == ["quality-0.json", "all-0.json"]
    for path in paths:
        found = json.loads(path.read_text())
        assert [point["step"] for point in found["points"]] == [0, 10]
        measures = ("loss", "pivotal", "surrounding", "return", "median")
        assert all(np.isfinite(point[name]) for point in found["points"] for name in measures)
        assert found["points"][1]["loss"] < found["points"][0]["loss"]
        assert found["provenance"]["data"]["source"] == "embedded"
    monkeypatch.setattr(diversity, "load", None)
    assert diversity.run(study(tmp_path)) == paths


def test_parts_are_what_they_are_called():
    config = Config(dataset="toy", density="gaussian")
    setup = setup_run.prepare(config)
    states = len(setup.data)
    known = {}
    parts = {
        name: diversity.rows_of(name, config, setup, known)
        for name in ("random", "quality", "diversity")
    }
    for rows in parts.values():
        assert len(set(rows)) == len(rows) == states // 10
    episodes = np.cumsum(np.isin(np.arange(states), setup.data.episode_starts)) - 1
    best = setup.data.episode_returns[np.unique(episodes[parts["quality"]])]
    assert best.min() >= np.quantile(setup.data.episode_returns, 0.85)
    log_density, _ = setup_run.log_densities(config, setup, known)
    low, high = np.quantile(log_density, [0.01, 0.11])
    assert log_density[parts["diversity"]].min() >= low
    assert log_density[parts["diversity"]].max() <= high + 1e-6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parts": "best"}, "unknown part 'best'; known: random; quality"),
        ({"points": (0, 15)}, "multiples of ten"),
        ({"datasets": "chess-medium"}, "chess"),
    ],
)
def test_bad_input_is_refused(tmp_path, changes, message):
    with pytest.raises(InvalidInputError, match=message):
        diversity.run(study(tmp_path / "out", **changes))
    assert not (tmp_path / "out").exists()
