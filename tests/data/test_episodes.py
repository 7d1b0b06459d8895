"""Where episodes end, by the names of many libraries; ends that look wrong are said."""

import re

import numpy as np
import pytest

from obd_jax.data import from_arrays, load_file
from obd_jax.types import InvalidInputError


def at(rows, *places):
    flags = np.zeros(rows, bool)
    flags[list(places)] = True
    return flags


def every(rows, steps):
    return at(rows, *range(steps - 1, rows, steps))


def walk(rows, starts=(0,), seed=0):
    """Observations that move on by small steps, from a new place at each start."""
    rng = np.random.default_rng(seed)
    steps = 0.02 * rng.normal(size=(rows, 5))
    steps[list(starts)] = 3.0 * rng.normal(size=(len(starts), 5))
    for start, stop in zip(starts, [*starts[1:], rows], strict=True):
        steps[start:stop] = np.cumsum(steps[start:stop], axis=0)
    return steps.astype(np.float32)


def recording(rows, **others):
    rng = np.random.default_rng(0)
    return {
        "observations": rng.normal(size=(rows, 5)).astype(np.float32),
        "actions": rng.uniform(-1, 1, (rows, 2)).astype(np.float32),
        "rewards": np.ones(rows, np.float32),
        **others,
    }


@pytest.fixture
def read(tmp_path):
    """Reads arrays from a file: the data and the notes."""

    def read(fields):
        np.savez(tmp_path / "data.npz", **fields)
        notes = []
        loaded = load_file(tmp_path / "data.npz", note=notes.append)
        assert all(note.startswith(f"{tmp_path / 'data.npz'}: ") for note in notes)
        return loaded, notes

    return read


# A terminal at row 3, time ran out at row 7, of 12 rows.
TERMINAL, TIMEOUT, EITHER = at(12, 3), at(12, 7), at(12, 3, 7)
NAMES = {
    "D4RL": {"terminals": TERMINAL, "timeouts": TIMEOUT},
    "Gymnasium": {"terminations": TERMINAL, "truncations": TIMEOUT},
    "singular": {"terminated": TERMINAL, "truncated": TIMEOUT},
    "RLlib": {"terminateds": TERMINAL, "truncateds": TIMEOUT},
    "d3rlpy 1": {"terminals": TERMINAL, "episode_terminals": EITHER},
    "dones beside terminals": {"terminals": TERMINAL, "dones": EITHER},
    "dones that are terminals": {"terminals": TERMINAL, "timeouts": TIMEOUT, "dones": TERMINAL},
    "dones beside timeouts": {"dones": EITHER, "timeouts": TIMEOUT},
    "dones without timeouts in them": {"dones": TERMINAL, "truncations": TIMEOUT},
    "masks": {"masks": 1.0 - TERMINAL, "dones_float": EITHER.astype(np.float32)},
    "masks and timeouts": {"masks": ~TERMINAL, "timeouts": TIMEOUT[:, None]},
    "the same twice": {"terminals": TERMINAL, "terminations": TERMINAL, "timeouts": TIMEOUT},
}


@pytest.mark.parametrize("case", NAMES)
def test_ends_are_read_by_the_names_of_many_libraries(read, case):
    loaded, notes = read(recording(12, **NAMES[case]))
    assert notes == []
    np.testing.assert_array_equal(np.flatnonzero(loaded.terminals), [3])
    np.testing.assert_array_equal(loaded.episode_starts, [0, 4, 7])
    np.testing.assert_array_equal(loaded.episode_returns, [4, 4])
    assert len(loaded) == 10


CONTRADICTIONS = {
    "Gymnasium's are more precise": {"terminals": EITHER, "terminations": TERMINAL},
    "masks are more precise": {"terminals": EITHER, "masks": 1 - TERMINAL},
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_of_two_kinds_of_terminals_the_more_precise_counts_and_that_is_said(read, case):
    loaded, (note,) = read(recording(12, **CONTRADICTIONS[case]))
    assert "differ in 1 of 12 rows, first in row 7" in note
    np.testing.assert_array_equal(np.flatnonzero(loaded.terminals), [3])
    np.testing.assert_array_equal(loaded.episode_starts, [0, 4, 7])


def test_dones_alone_are_terminals(read):
    loaded, notes = read(recording(12, dones=EITHER))
    assert notes == []
    np.testing.assert_array_equal(np.flatnonzero(loaded.terminals), [3, 7])


def test_flags_that_are_not_read_are_named(read):
    _, (note,) = read(recording(12, terminals=TERMINAL, is_last=EITHER, images=np.zeros(3)))
    assert "is_last may mark ends of episodes but are not read; flags that are read: " in note
    assert "images" not in note


# Trajectories of four rows; the last holds no transition but the last observation.
LAST = every(12, 4)


@pytest.mark.parametrize(
    "terminals",
    [{"terminals": LAST | np.roll(LAST, -1)}, {"terminals": LAST}, {}],
    ids=["compact OGBench", "ends", "none"],
)
def test_rows_that_are_not_valid_end_trajectories(read, terminals):
    fields = recording(12, valids=1.0 - LAST, **terminals)
    loaded, (note,) = read(fields)
    assert "3 of 12 rows are no transitions by valids, first row 3; 0 are left out" in note
    assert not loaded.terminals.any()
    assert len(loaded) == 9
    np.testing.assert_array_equal(loaded.episode_starts, [0, 3, 6])
    rows = np.flatnonzero(~LAST)
    np.testing.assert_array_equal(loaded.observations, fields["observations"][rows])
    np.testing.assert_array_equal(loaded.next_observations, fields["observations"][rows + 1])


def test_terminals_of_ogbench_are_ends_of_trajectories(read):
    fields = recording(12, terminals=LAST, qpos=np.zeros((12, 3)), qvel=np.zeros((12, 3)))
    del fields["rewards"]
    loaded, (note,) = read(fields)
    assert "as in OGBench: terminals are the ends of trajectories" in note
    assert (len(loaded), loaded.terminals.any()) == (9, False)
    np.testing.assert_array_equal(loaded.episode_starts, [0, 3, 6])
    # Neither with rewards nor without positions is that so.
    for others in ({"rewards": np.ones(12)}, {"qpos": None}):
        changed = {k: v for k, v in {**fields, **others}.items() if v is not None}
        loaded, _ = read(changed)
        np.testing.assert_array_equal(np.flatnonzero(loaded.terminals), [3, 7])


def test_a_goal_reached_is_a_terminal_of_a_valid_row(read):
    loaded, notes = read(
        recording(12, valids=~LAST, masks=~at(12, 6), terminals=LAST | np.roll(LAST, -1))
    )
    assert "1 are left out" in notes[-1]
    np.testing.assert_array_equal(np.flatnonzero(loaded.terminals), [5])
    np.testing.assert_array_equal(loaded.episode_starts, [0, 3, 6])
    np.testing.assert_array_equal(loaded.episode_returns, [4, 3, 4])


def test_padding_is_left_out(read):
    padded = at(12, 4, 5, 10, 11)
    fields = recording(12, valids=~padded, terminals=at(12, 3))
    loaded, (note,) = read(fields)
    assert "4 of 12 rows are no transitions by valids, first row 4; 4 are left out" in note
    kept = np.flatnonzero(~padded)
    np.testing.assert_array_equal(loaded.observations, fields["observations"][kept[:-1]])
    np.testing.assert_array_equal(np.flatnonzero(loaded.terminals), [3])
    np.testing.assert_array_equal(loaded.episode_starts, [0, 4])


def test_terminals_at_the_time_limit_are_read_as_timeouts_where_none_is_recorded(read):
    for others in ({}, {"timeouts": np.zeros(4000, bool)}, {"truncations": np.zeros(4000)}):
        loaded, (note,) = read(recording(4000, terminals=every(4000, 1000), **others))
        assert "4 of 4 terminals are at step 1000, first in row 999, and no timeouts" in note
        assert not loaded.terminals.any()
        assert len(loaded) == 3996
        assert len(loaded.episode_returns) == 4


def test_terminals_before_the_time_limit_stay(read):
    loaded, (note,) = read(recording(2200, terminals=at(2200, 300, 1300)))
    assert "1 of 2 terminals are at step 1000, first in row 1300" in note
    np.testing.assert_array_equal(np.flatnonzero(loaded.terminals), [300])


def test_with_next_observations_such_rows_are_kept(read):
    observations = walk(3000)
    following = np.concatenate([observations[1:], observations[:1]])
    following[999::1000] += 0.5
    ends = every(3000, 1000)
    loaded, _ = read(
        recording(3000, terminals=ends)
        | {"observations": observations}
        | {"next_observations": following}
    )
    assert (len(loaded), loaded.terminals.sum()) == (3000, 0)
    np.testing.assert_array_equal(loaded.episode_starts, [0, 1000, 2000])


def test_where_timeouts_are_recorded_terminals_are_believed(read):
    fields = recording(3000, terminals=at(3000, 999), timeouts=at(3000, 1999))
    loaded, notes = read(fields)
    assert notes == []
    np.testing.assert_array_equal(np.flatnonzero(loaded.terminals), [999])


SUSPICIOUS = {
    "one length": (
        {"terminals": every(600, 200)},
        "3 of 3 episodes end by a terminal after 200 steps, the longest length, first in row 199",
    ),
    "many of the longest": (
        {"dones": at(600, 30, 130, 150, 250, 350, 380)},
        "3 of 6 episodes end by a terminal after 100 steps, the longest length, first in row 130",
    ),
    "inverted": (
        {"terminals": ~at(600, 99, 299)},
        "598 of 600 rows are terminals, first row 0: episodes of one step, or .* inverted",
    ),
    "no end at all": (
        {"terminals": np.zeros(2100), "timeouts": np.zeros(2100)},
        "none of the 2100 rows is a timeout, and an episode has 2100 steps, from row 0",
    ),
    "ends missing": (
        {"terminals": at(2100, 399), "timeouts": np.zeros(2100)},
        "none of the 2100 rows is a timeout, and an episode has 1700 steps, from row 400",
    ),
}


@pytest.mark.parametrize("case", SUSPICIOUS)
def test_suspicious_ends_are_said_and_left_as_they_are(read, case):
    flags, message = SUSPICIOUS[case]
    rows = len(next(iter(flags.values())))
    loaded, (note,) = read(recording(rows, **flags))
    assert re.search(message, note), note
    assert loaded.terminals.sum() >= next(iter(flags.values()))[:-1].sum() - 1


UNSUSPICIOUS = {
    "a few of equal length": {"terminals": every(400, 200)},
    "short ones": {"terminals": at(60, 5, 15, 25, 28, 38)},
    "timeouts of one length": {"terminals": np.zeros(600), "timeouts": every(600, 200)},
    "one episode without an end": {"terminals": np.zeros(1000), "timeouts": np.zeros(1000)},
    "one episode and no flags": {},
}


@pytest.mark.parametrize("case", UNSUSPICIOUS)
def test_ordinary_ends_are_not_spoken_of(read, case):
    flags = UNSUSPICIOUS[case]
    rows = len(next(iter(flags.values()), np.zeros(1000)))
    _, notes = read(recording(rows, **flags))
    assert notes == []


def test_a_guess_without_consequences_is_not_spoken_of(read):
    fields = recording(2500)
    assert "episodes are cut after every 1000 steps, 2 times" in read(fields)[1][0]
    del fields["rewards"]
    loaded, notes = read(fields)
    assert (len(loaded), notes) == (2497, [])


def test_without_a_note_taker_what_looks_wrong_is_a_warning():
    fields = recording(600)
    with pytest.warns(UserWarning, match="arrays: 3 of 3 episodes end by a terminal"):
        from_arrays(**fields, terminals=every(600, 200))


def test_flags_that_are_no_numbers_are_refused(read):
    with pytest.raises(InvalidInputError, match="dones have type <U1"):
        read(recording(12, dones=np.array(["n"] * 12)))
    with pytest.raises(InvalidInputError, match=r"differ in length: .*truncations 11"):
        read(recording(12, truncations=TIMEOUT[1:]))
