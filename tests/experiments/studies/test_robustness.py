"""Sets of several seeds and recordings."""

import pytest
import robustness
from robustness import Settings

from obd_jax.types import InvalidInputError


@pytest.fixture
def tiny(tmp_path):
    return Settings(
        datasets=("hopper-medium",),
        rows=2000,
        seeds=(20, 21),
        averages=(0.0, 0.5),
        outer_steps=10,
        episodes=1,
        out=str(tmp_path),
    )


@pytest.mark.slow
def test_every_set_is_made_once(tiny, monkeypatch):
    found = robustness.run(tiny)
    keys = [
        ("hopper-medium", average, 0.0, recording) for recording in (0, 1) for average in (0.0, 0.5)
    ]
    assert list(found) == keys
    assert all(len(means) == 2 for means in found.values())
    means = [mean for each in found.values() for mean in each]
    assert len({*means}) == len(means)  # Each is another set.
    monkeypatch.setattr(robustness, "synthesize", None)  # Nothing is made again.
    assert robustness.run(tiny) == found


def test_the_average_is_all_that_differs(tiny):
    plain, averaged = (robustness.distillation_of(tiny, average, 0.0) for average in (0.0, 0.25))
    assert (plain.outer.average, averaged.outer.average) == (0.0, 0.25)
    assert plain.objective == averaged.objective
    assert plain.outer.steps == averaged.outer.steps == 10


def test_the_table_has_the_worst_set():
    found = {("a", 0.25, 50.0, 1): [100.0, 20.0], ("b", 0.0, 0.0, 0): [5.0]}
    lines = robustness.table_of(found).splitlines()
    assert lines[2] == "| a | 0.25 | 50 | 1 | 100 20 | 60.0 [-448, 568] | 20 |"
    assert lines[3] == "| b | 0 | 0 | 0 | 5 | 5.0 | 5 |"


def test_what_there_is_not_is_refused():
    with pytest.raises(InvalidInputError, match="chess"):
        Settings(datasets=("chess",))
    with pytest.raises(InvalidInputError, match="episodes must be at least 1"):
        Settings(episodes=0)
