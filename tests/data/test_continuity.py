"""Rows that do not follow each other: said, or read as ends where next observations prove it."""

import numpy as np
import pytest

from obd_jax.data import from_arrays
from obd_jax.data.continuity import breaks, jumps
from obd_jax.data.hdf5 import read_hdf5

ROWS = 1500


def actions(rows=ROWS, seed=1):
    return np.random.default_rng(seed).uniform(-1, 1, (rows, 2)).astype(np.float32)


def walk(starts, rows=ROWS, seed=0):
    """Observations moved by the actions, from a new place at each start."""
    rng, moves = np.random.default_rng(seed), actions(rows)
    states = np.zeros((rows, 5))
    for row in range(rows):
        if row in starts:
            states[row] = rng.normal(size=5)
        else:
            moved = np.concatenate([moves[row - 1], moves[row - 1, :1] * states[row - 1, :3]])
            states[row] = 0.98 * states[row - 1] + 0.05 * moved + 0.002 * rng.normal(size=5)
    return states.astype(np.float32)


STARTS = (0, 300, 700, 1100)
LAST = np.array([299, 699, 1099])


def ends(*rows):
    flags = np.zeros(ROWS, bool)
    flags[list(rows)] = True
    return flags


def load(**fields):
    notes = []
    return from_arrays(actions=actions(), note=notes.append, **fields), notes


def test_jumps_are_found_where_no_end_is_known():
    states = walk(STARTS)
    np.testing.assert_array_equal(jumps(states, actions(), ends()), LAST)
    np.testing.assert_array_equal(jumps(states, actions(), ends(299)), LAST[1:])
    assert len(jumps(states, actions(), ends(*LAST))) == 0


def test_jumps_are_said_with_counts_and_rows():
    states = walk(STARTS)
    loaded, notes = load(observations=states, terminals=ends(299), timeouts=ends())
    assert any(
        "the observation jumps 2 times inside an episode, first after rows 699, 1099:" in note
        for note in notes
    )
    np.testing.assert_array_equal(loaded.episode_starts, [0, 300])


STEADY = {
    "unrelated rows": np.random.default_rng(0).normal(size=(ROWS, 5)),
    "constant rows": np.ones((ROWS, 5)),
    "a button that is pressed": np.concatenate(
        [walk((0,)), (np.arange(ROWS)[:, None] > 800).astype(np.float32)], axis=1
    ),
    "a constant far from zero": np.concatenate([walk((0,)), np.full((ROWS, 2), 1e6)], axis=1),
    "a kick": walk((0,)) + (np.arange(ROWS)[:, None] > 800) * np.float32([0.3, 0, 0, 0, 0]),
}


@pytest.mark.parametrize("case", STEADY)
def test_steady_recordings_have_no_jumps(case):
    assert len(jumps(STEADY[case].astype(np.float32), actions(), ends())) == 0


def test_few_rows_teach_nothing():
    states = walk(STARTS)[:100]
    states[50:] += 100
    assert len(jumps(states, actions()[:100], np.zeros(100, bool))) == 0


def test_real_recordings_jump_at_their_ends_alone(shared_data):
    for name, least in (("hopper-medium", 0.95), ("walker2d-medium-expert", 0.3)):
        fields = read_hdf5(shared_data / "calql_rollouts" / f"{name}.hdf5").fields
        known = (fields["terminals"] | fields["timeouts"])[:20_000]
        states, moves = fields["observations"][:20_000], fields["actions"][:20_000]
        assert len(jumps(states, moves, known)) == 0
        found = jumps(states, moves, np.zeros_like(known))
        assert known[found].all()
        assert len(found) > least * known[:-1].sum()


def following_of(states, starts=STARTS):
    """The next observation of each row, known at ends too."""
    following = np.concatenate([states[1:], states[-1:] + 0.1])
    for start in starts[1:]:
        following[start - 1] = states[start - 1] + 0.01
    return following.astype(np.float32)


def test_next_observations_that_lead_elsewhere_end_episodes():
    states = walk(STARTS)
    loaded, (note,) = load(
        observations=states,
        rewards=np.ones(ROWS),
        next_observations=following_of(states),
        terminals=ends(299),
        timeouts=ends(),
    )
    assert "are not the following row in 2 rows inside episodes, first in rows 699" in note
    np.testing.assert_array_equal(loaded.episode_starts, STARTS)
    np.testing.assert_array_equal(loaded.episode_returns, [300, 400, 400])
    np.testing.assert_array_equal(np.flatnonzero(loaded.terminals), [299])
    assert len(loaded) == ROWS


def test_without_flags_the_time_limit_counts_from_such_ends():
    states = walk((0, 200))
    following = following_of(states, (0, 200))
    loaded, (note,) = load(observations=states, next_observations=following)
    np.testing.assert_array_equal(loaded.episode_starts, [0, 200, 1200])
    assert "in 1 rows inside episodes, first in row 199: these are read as timeouts" in note


def test_rows_out_of_order_have_no_episodes_and_that_is_said():
    states = walk(STARTS)
    order = np.random.default_rng(2).permutation(ROWS)
    loaded, (note,) = load(
        observations=states[order],
        rewards=np.ones(ROWS),
        next_observations=following_of(states)[order],
        terminals=ends(299)[order],
    )
    assert "rows are single transitions out of order, so their episodes are unknown" in note
    assert len(loaded) == ROWS
    assert len(loaded.episode_returns) == 0
    assert loaded.episode_steps.max() == 0
    assert loaded.terminals.sum() == 1


def test_next_observations_that_are_the_observations_are_said():
    states = walk((0,))
    loaded, (note,) = load(
        observations=states, next_observations=states, timeouts=ends(799), rewards=np.ones(ROWS)
    )
    assert f"and equal observations in {ROWS}, but near it: rows are in order" in note
    np.testing.assert_array_equal(loaded.episode_returns, [800])


def test_next_observations_near_the_following_row_leave_the_order():
    states = walk(STARTS)
    noisy = following_of(states) + 0.01 * np.random.default_rng(0).normal(size=states.shape)
    loaded, (note,) = load(
        observations=states, next_observations=noisy, timeouts=ends(*LAST), rewards=np.ones(ROWS)
    )
    assert "near it: rows are in order, and next_observations are used as they are" in note
    np.testing.assert_array_equal(loaded.episode_starts, STARTS)


def test_rounding_is_no_break():
    states = walk((0,))
    rounded = following_of(states, (0,)).astype(np.float16).astype(np.float32)
    assert len(breaks(states, rounded, ends())) > 0
    rounded = following_of(states, (0,)) * np.float32(1 + 1e-7)
    assert len(breaks(states, rounded, ends())) == 0
