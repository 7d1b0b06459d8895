"""Transitions from arrays: D4RL's q-learning rules, and refusals."""

import hashlib
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from obd_jax.data import from_arrays
from obd_jax.environments import MAX_EPISODE_STEPS
from obd_jax.types import InvalidInputError


def recording(rows, seed=0):
    """Rows whose observations are their own numbers, so that each can be traced."""
    rng = np.random.default_rng(seed)
    return {
        "observations": np.stack([np.arange(rows), rng.normal(size=rows)], 1).astype(np.float32),
        "actions": rng.uniform(-1, 1, (rows, 3)).astype(np.float32),
        "rewards": rng.normal(size=rows).astype(np.float32),
    }


def ignore(line):
    """Takes no notes: of rows by chance many look wrong."""


def reference(fields, terminals, timeouts):
    """One row at a time, as the documentation of D4RL's q-learning data set describes it."""
    kept, starts, returns = [], [], []
    total, fresh = 0.0, True
    for row in range(len(terminals)):
        total += float(fields["rewards"][row])
        lost = timeouts[row] or row == len(terminals) - 1
        if not lost:
            if fresh:
                starts.append(len(kept))
            kept.append(row)
            fresh = False
        if terminals[row] or timeouts[row]:
            returns.append(total)
            total, fresh = 0.0, True
    return kept, starts, returns


@settings(max_examples=200, deadline=None)
@given(
    flags=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=6, max_size=60),
    seed=st.integers(0, 1000),
)
def test_transitions_are_those_of_a_row_by_row_reading(flags, seed):
    terminals, timeouts = (np.array(column) for column in zip(*flags, strict=True))
    fields = recording(len(flags), seed)
    kept, starts, returns = reference(fields, terminals, timeouts)
    if len(kept) < 2:
        with pytest.raises(InvalidInputError, match="transitions are left"):
            from_arrays(**fields, terminals=terminals, timeouts=timeouts, note=ignore)
        return
    data = from_arrays(**fields, terminals=terminals, timeouts=timeouts, note=ignore)
    rows = np.array(kept)
    np.testing.assert_array_equal(data.observations, fields["observations"][rows])
    np.testing.assert_array_equal(data.actions, fields["actions"][rows])
    np.testing.assert_array_equal(data.rewards, fields["rewards"][rows])
    np.testing.assert_array_equal(data.next_observations, fields["observations"][rows + 1])
    # A row that is dropped still says what came next.
    following = np.where(terminals[rows], rows, rows + 1)
    np.testing.assert_array_equal(data.next_actions, fields["actions"][following])
    np.testing.assert_array_equal(data.terminals, terminals[rows])
    np.testing.assert_array_equal(data.episode_starts, starts)
    np.testing.assert_allclose(data.episode_returns, returns, rtol=1e-12, atol=1e-12)


def test_without_timeouts_episodes_are_cut_at_the_time_limit():
    rows = 3 * MAX_EPISODE_STEPS + 500
    terminals = np.zeros(rows, bool)
    terminals[250] = True  # Restarts the count, so the cuts come at 1250, 2250 and 3250.
    fields = recording(rows)
    notes = []
    data = from_arrays(**fields, terminals=terminals, note=notes.append)
    (note,) = notes
    assert "no timeouts are recorded: episodes are cut after every 1000 steps, 3 times" in note
    assert "first in row 1250;" in note
    dropped = np.setdiff1d(np.arange(rows), data.observations[:, 0])
    np.testing.assert_array_equal(dropped, [1250, 2250, 3250, rows - 1])
    np.testing.assert_array_equal(
        data.observations[data.episode_starts, 0], [0, 251, 1251, 2251, 3251]
    )
    ends = np.array([0, 251, 1251, 2251, 3251])
    rewards = fields["rewards"].astype(np.float64)
    expected = [rewards[a:b].sum() for a, b in itertools.pairwise(ends)]
    np.testing.assert_allclose(data.episode_returns, expected, rtol=1e-12)


def test_given_next_observations_keep_every_row():
    fields = recording(10)
    timeouts = np.arange(10) == 4
    following = np.concatenate([fields["observations"][1:], np.full((1, 2), 100)])
    following[4] = 50  # Known, though the next row begins another episode.
    data = from_arrays(**fields, next_observations=following, timeouts=timeouts)
    assert len(data) == 10
    np.testing.assert_array_equal(data.next_observations, following)
    next_rows = [1, 2, 3, 4, 4, 6, 7, 8, 9, 9]  # At the ends the row's own action stands.
    np.testing.assert_array_equal(data.next_actions, fields["actions"][next_rows])
    np.testing.assert_array_equal(data.episode_starts, [0, 5])
    np.testing.assert_allclose(data.episode_returns, [fields["rewards"][:5].sum(dtype=np.float64)])


def test_without_rewards_there_are_no_returns():
    fields = recording(10)
    data = from_arrays(fields["observations"], fields["actions"])
    assert data.episode_returns.shape == (0,)
    np.testing.assert_array_equal(data.rewards, np.zeros(9))


def test_double_precision_lists_and_columns_become_single_precision_rows():
    fields = recording(10)
    plain = from_arrays(**fields, terminals=np.arange(10) == 3)
    other = from_arrays(
        fields["observations"].tolist(),
        fields["actions"].astype(np.float64),
        fields["rewards"].astype(np.float64)[:, None],
        terminals=(np.arange(10) == 3).astype(np.uint8)[:, None],
    )
    for name in ("observations", "actions", "rewards", "next_observations"):
        assert getattr(other, name).dtype == np.float32
        np.testing.assert_array_equal(getattr(other, name), getattr(plain, name))
    assert other.terminals.dtype == bool
    np.testing.assert_array_equal(other.terminals, plain.terminals)
    np.testing.assert_array_equal(other.episode_returns, plain.episode_returns)


def test_the_arrays_given_are_not_aliased():
    fields = recording(10)
    data = from_arrays(**fields, next_observations=fields["observations"], note=ignore)
    fields["observations"][:] = -1
    assert data.observations[3, 0] == 3
    assert data.next_observations[3, 0] == 3


def test_the_hash_depends_on_every_value_and_its_place():
    fields = recording(10)
    first = from_arrays(**fields).provenance.sha256
    assert first == from_arrays(**fields).provenance.sha256
    assert len(bytes.fromhex(first)) == hashlib.sha256().digest_size
    fields["actions"][9, 2] *= 0.5
    assert first != from_arrays(**fields).provenance.sha256


def with_value(array, index, value):
    array = np.array(array)
    array[index] = value
    return array


REFUSED = {
    "nan": (
        "observations",
        lambda a: with_value(a, (4, 1), np.nan),
        "observations are NaN or infinite in 1 of 10 rows, first in row 4",
    ),
    "infinite": (
        "actions",
        lambda a: with_value(a, slice(7, 9), np.inf),
        "actions are NaN or infinite in 2 of 10 rows, first in row 7",
    ),
    "beyond float32": (
        "observations",
        lambda a: with_value(a.astype(float), (2, 0), 1e300),
        "observations .* in 1 of 10 rows, first in row 2",
    ),
    "nan reward": (
        "rewards",
        lambda a: with_value(a, 1, np.nan),
        "rewards are NaN or infinite in 1 of 10 rows, first in row 1",
    ),
    "nan terminal": (
        "terminals",
        lambda a: with_value(np.zeros(10), 1, np.nan),
        "terminals are NaN",
    ),
    "bounds": (
        "actions",
        lambda a: with_value(a, (0, 0), -6),
        r"actions range from -6 to 0\.\d+; they must lie in \[-1, 1\]",
    ),
    "just out of bounds": (
        "actions",
        lambda a: with_value(a, (0, 0), 1.001),
        r"actions range from -0\.\d+ to 1.001",
    ),
    "lengths": (
        "rewards",
        lambda a: a[:-1],
        "differ in length: observations 10, actions 10, rewards 9",
    ),
    "flat observations": ("observations", lambda a: a[:, 0], r"observations have shape \(10,\)"),
    "no columns": ("actions", lambda a: a[:, :0], r"actions have shape \(10, 0\)"),
    "wide rewards": ("rewards", lambda a: np.stack([a, a], 1), r"rewards have shape \(10, 2\)"),
    "one reward": ("rewards", lambda a: np.float32(1), r"rewards have shape \(\)"),
    "text": ("actions", lambda a: a.astype(str), "actions have type <U"),
    "complex": ("actions", lambda a: a.astype(complex), "actions have type complex128"),
    "ragged": ("actions", lambda a: [[0.0], [0.0, 0.0]], "not rectangular"),
    "next observations": (
        "next_observations",
        lambda a: np.zeros((10, 5)),
        r"next_observations have shape \(10, 5\), observations \(10, 2\)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_unusable_arrays_are_refused_with_a_reason(case):
    name, change, message = REFUSED[case]
    fields = recording(10)
    fields[name] = change(fields.get(name))
    with pytest.raises(InvalidInputError, match=message) as caught:
        from_arrays(**fields)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("rows", [0, 1])
def test_fewer_than_two_rows_are_refused(rows):
    with pytest.raises(InvalidInputError, match=f"{rows} rows; at least two"):
        from_arrays(np.zeros((rows, 2)), np.zeros((rows, 1)), np.zeros(rows))


def test_one_transition_is_refused():
    with pytest.raises(InvalidInputError, match="1 transitions are left of 2 rows"):
        from_arrays(np.zeros((2, 2)), np.zeros((2, 1)), np.zeros(2))


def test_rounding_at_the_action_bounds_is_accepted():
    actions = np.array([[1 + 5e-7], [-1 - 5e-7], [0.0]])
    assert len(from_arrays(np.zeros((3, 2)), actions)) == 2
