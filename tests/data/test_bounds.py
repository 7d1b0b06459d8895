"""Actions in the units of a recording."""

import dataclasses

import numpy as np
import pytest

from obd_jax import data, environments
from obd_jax.data import bounds as module
from obd_jax.data.bounds import bounds_of
from obd_jax.settings import from_options
from obd_jax.types import ActionBounds, InvalidInputError

WIDE = ActionBounds((-2.0, 0.0), (2.0, 0.5))
INSIDE = np.array([[-1, -1], [1, 1], [0, 0], [0.5, -0.5]], np.float32)
OUTSIDE = np.array([[-2, 0], [2, 0.5], [0, 0.25], [1, 0.125]], np.float32)


def load(actions, action_bounds=None):
    """Data with these actions, and what is said of them."""
    notes = []
    actions = np.concatenate([actions, actions[:1]])  # The last row has no next one.
    observations = np.random.default_rng(0).normal(size=(len(actions), 3))
    loaded = data.from_arrays(observations, actions, action_bounds=action_bounds, note=notes.append)
    return loaded, notes


def test_actions_are_rescaled_from_their_bounds():
    loaded, notes = load(OUTSIDE, WIDE)
    np.testing.assert_array_equal(loaded.actions, INSIDE)
    assert loaded.actions.dtype == np.float32
    assert loaded.action_bounds == WIDE
    assert notes == []
    np.testing.assert_array_equal(WIDE.denormalize(loaded.actions), OUTSIDE)


def test_next_actions_of_dropped_rows_are_rescaled_and_checked():
    observations = np.random.default_rng(0).normal(size=(5, 3))
    timeouts = np.arange(5) == 2
    loaded = data.from_arrays(
        *(observations, np.append(OUTSIDE, OUTSIDE[:1], axis=0)),
        timeouts=timeouts,
        action_bounds=WIDE,
    )
    np.testing.assert_array_equal(loaded.next_actions, [INSIDE[1], INSIDE[2], INSIDE[0]])
    wild = np.zeros((5, 2), np.float32)
    wild[2] = 3  # In the row that timed out, so in no transition's action.
    with pytest.raises(InvalidInputError, match=r"range from 0 to 3.*first in number 1"):
        data.from_arrays(observations, wild, timeouts=timeouts)


def test_without_bounds_actions_stay_as_they_are():
    loaded, notes = load(INSIDE)
    np.testing.assert_array_equal(loaded.actions, INSIDE)
    assert loaded.action_bounds is None
    assert notes == []
    unit, _ = load(INSIDE, ActionBounds((-1.0,), (1.0,)))
    np.testing.assert_array_equal(unit.actions, INSIDE)
    assert unit.action_bounds.is_unit


def test_one_pair_of_bounds_stands_for_all_actions():
    loaded, _ = load(3 * INSIDE, ActionBounds((-3.0,), (3.0,)))
    np.testing.assert_allclose(loaded.actions, INSIDE, rtol=1e-6)
    assert loaded.action_bounds == ActionBounds((-3.0, -3.0), (3.0, 3.0))
    with pytest.raises(InvalidInputError, match="has 2 actions; bounds of 3 are given"):
        load(INSIDE, ActionBounds((-1.0,) * 3, (1.0,) * 3))


@pytest.mark.parametrize(("scale", "bounds"), [(1.0, None), (5.0, ActionBounds((-5.0,), (5.0,)))])
def test_actions_beyond_by_rounding_are_clipped_and_counted(scale, bounds):
    actions = scale * INSIDE
    actions[1] *= 1 + 3e-6
    loaded, (note,) = load(actions, bounds)
    np.testing.assert_allclose(loaded.actions, INSIDE, rtol=1e-6)
    assert np.abs(loaded.actions).max() == 1
    assert f"2 of 8 actions are beyond [-{scale:g}, {scale:g}] by rounding" in note
    actions[1] *= 1 + 2e-5
    with pytest.raises(InvalidInputError) as caught:
        load(actions, bounds)
    for words in (f"they must lie in [-{scale:g}, {scale:g}]", "1 of 4 transitions", "number 1"):
        assert words in str(caught.value)


def test_actions_that_look_as_if_rescaled_before_are_said():
    _, (note,) = load(INSIDE, ActionBounds((-2.0,), (2.0,)))
    assert "the largest action is 1, and bounds are [-2, 2]" in note
    assert load(0.7 * INSIDE, ActionBounds((-2.0,), (2.0,)))[1] == []


@pytest.mark.parametrize(
    "ends",
    [((), ()), ((0.0,), (0.0,)), ((1.0,), (-1.0,)), ((0.0,), (1.0, 1.0)), ((0.0,), (np.inf,))],
)
def test_bounds_that_are_none_are_refused(ends):
    with pytest.raises(InvalidInputError, match="equally many finite numbers"):
        ActionBounds(*ends)


def test_bounds_are_those_of_a_named_environment():
    assert bounds_of("Pendulum-v1") == environments.get("Pendulum-v1").action_bounds
    assert bounds_of("Hopper-v2") is bounds_of(None) is bounds_of("NotInstalled-v0") is None


def test_data_by_name_have_the_bounds_of_the_environment_that_they_name(monkeypatch):
    raw, _ = load(INSIDE[:, :1])
    provenance = dataclasses.replace(raw.provenance, environment="Pendulum-v1")
    raw = dataclasses.replace(raw, actions=2 * raw.actions, provenance=provenance)
    monkeypatch.setattr("obd_jax.data.sources.load_minari", lambda *_: raw)
    loaded = data.load("pendulum/expert-v0")
    np.testing.assert_array_equal(loaded.actions, INSIDE[:, :1])
    assert loaded.action_bounds == ActionBounds((-2.0,), (2.0,))
    with pytest.raises(InvalidInputError, match=r"must lie in \[-1.5, 1.5\]"):
        data.load("pendulum/expert-v0", action_bounds=ActionBounds((-1.5,), (1.5,)))


@pytest.mark.parametrize("suffix", ["npz", "hdf5"])
def test_files_are_rescaled_too(tmp_path, suffix):
    path = tmp_path / f"data.{suffix}"
    fields = {
        "observations": np.random.default_rng(0).normal(size=(5, 3)),
        "actions": np.concatenate([OUTSIDE, OUTSIDE[:1]]),
        "rewards": np.arange(5.0),
        "terminals": np.zeros(5),
    }
    if suffix == "npz":
        np.savez(path, **fields)
    else:
        from obd_jax.data.hdf5 import write_hdf5

        write_hdf5(path, fields, {})
    loaded = data.load_file(path, action_bounds=WIDE)
    np.testing.assert_array_equal(loaded.actions, INSIDE)
    with pytest.raises(InvalidInputError, match=r"from -2 to 2; they must lie in \[-1, 1\]"):
        data.load_file(path)


def test_options_give_bounds():
    def given(**options):
        return from_options(data.DataSettings, options).action_bounds

    assert given() is None
    assert given(action_low=(0.0,), action_high=(1.0, 2.0)) == ActionBounds((0.0, 0.0), (1.0, 2.0))
    for options in ({"action_low": (0.0,)}, {"action_high": (0.0,)}):
        with pytest.raises(InvalidInputError, match="give both action_low and action_high"):
            given(**options)
    with pytest.raises(InvalidInputError, match="each low one below the high one"):
        given(action_low=(1.0,), action_high=(0.0,))


def test_what_stays_as_it_is_is_less_than_what_is_clipped():
    assert 0 < module._NOTHING < module._ROUNDING == 5e-6
