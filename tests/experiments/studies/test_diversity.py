"""The study of parts of a data set, on a few thousand rows."""

import dataclasses
import json

import diversity
import jax
import numpy as np
import pytest

from obd_jax.pipeline import RunSettings, load_problem
from obd_jax.pipeline.distillation import initial_set
from obd_jax.pipeline.preparation import prepare
from obd_jax.pipeline.targets import log_densities
from obd_jax.reporting import SILENT
from obd_jax.settings import from_options
from obd_jax.types import InvalidInputError


def study(folder, **changes):
    given = {
        "out": str(folder),
        "datasets": ("hopper-medium",),
        "data_rows": 3000,
        "seeds": (0,),
        "parts": "quality;all",
        "points": (0, 10),
    }
    return diversity.StudySettings(**{**given, **changes})


def on_toy(**options):
    """Settings of a distillation of the toy's data, and what it starts from."""
    given = {"dataset": "toy", "density": "gaussian", **options}
    settings = from_options(RunSettings, given)
    problem = load_problem(settings, SILENT)
    distillation = settings.distillation
    return distillation, prepare(jax.random.key(0), problem, distillation, SILENT)


@pytest.mark.slow
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
    monkeypatch.setattr(diversity, "load_problem", None)
    assert diversity.run(study(tmp_path)) == paths
    with pytest.raises(InvalidInputError, match="made with data_rows=3000, not 4000; give"):
        diversity.run(study(tmp_path, data_rows=4000))
    with pytest.raises(InvalidInputError, match=r"made with points=\[0, 10\]; give another"):
        diversity.run(study(tmp_path, points=(10,)))


def test_parts_are_what_they_are_called():
    settings, prepared = on_toy()
    states = len(prepared.data)
    cache = {}
    parts = {
        name: diversity.rows_of(name, 0, settings, prepared, cache)
        for name in ("random", "quality", "diversity")
    }
    for rows in parts.values():
        assert len(set(rows)) == len(rows) == states // 10
    episodes = np.cumsum(np.isin(np.arange(states), prepared.data.episode_starts)) - 1
    best = prepared.data.episode_returns[np.unique(episodes[parts["quality"]])]
    assert best.min() >= np.quantile(prepared.data.episode_returns, 0.85)
    log_density, _ = log_densities(settings, prepared, SILENT, cache)
    low, high = np.quantile(log_density, [0.01, 0.11])
    assert log_density[parts["diversity"]].min() >= low
    assert log_density[parts["diversity"]].max() <= high + 1e-6


@pytest.mark.parametrize("part", diversity.PARTS)
def test_sets_start_with_the_teachers_actions_on_states_of_the_part(part):
    settings, prepared = on_toy(objective="pbc", temperature=0.0)
    objective = diversity.objective_of(part, 0, settings, prepared, {})
    start = initial_set(settings, prepared, objective)
    states = {row.tobytes() for row in np.asarray(objective.targets.observations)}
    assert len(states) == pytest.approx(
        len(prepared.data) * (1 if "all" in part else diversity.SHARE), rel=0.01
    )
    assert {row.tobytes() for row in np.asarray(start.observations)} <= states
    raw = prepared.normalizer.denormalize(start.observations)
    np.testing.assert_allclose(start.actions, prepared.teacher.act(raw), atol=1e-5)


def test_good_states_are_those_of_the_best_episodes_complete_or_not():
    # An episode of a single row that ran out of time, whose row is dropped, has a return but no
    # start; the last one has a start but no return.
    settings, prepared = on_toy()
    starts, lengths = np.array([0, 40, 90]), [40, 50, 10]
    data = dataclasses.replace(
        prepared.data,
        **{
            name: getattr(prepared.data, name)[:100]
            for name in ("observations", "actions", "next_observations", "terminals")
        },
        rewards=np.repeat(np.float32([1, 2, 9]), lengths),
        episode_starts=starts,
        episode_returns=np.array([40.0, 700.0, 100.0]),
    )
    rows = diversity.rows_of("quality", 0, settings, prepared._replace(data=data), {})
    assert rows.tolist() == list(range(40, 50))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parts": "best"}, "unknown part 'best'; known: random; quality"),
        ({"points": (0, 15)}, "multiples of ten"),
        ({"datasets": ("chess-medium",)}, "chess"),
    ],
)
def test_bad_input_is_refused(tmp_path, changes, message):
    with pytest.raises(InvalidInputError, match=message):
        diversity.run(study(tmp_path / "out", **changes))
    assert not (tmp_path / "out").exists()
