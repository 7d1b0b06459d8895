"""The best episodes, on episodes that are written out."""

import numpy as np
import pytest

from obd_jax import data
from obd_jax.types import InvalidInputError

# Returns 3, 8, 3 and, without an end, 2; rows 0-2, 3-4, 5-7 and 8-9.
REWARDS = np.array([1, 1, 1, 4, 4, 0, 0, 3, 2, 0], np.float32)
TIMEOUTS = np.array([0, 0, 1, 0, 1, 0, 0, 1, 0, 0])


def make_data(rewards=REWARDS):
    states = np.arange(20.0).reshape(10, 2)
    return data.from_arrays(
        states,
        np.zeros((10, 1)),
        rewards=rewards,
        next_observations=states + 0.5,
        timeouts=TIMEOUTS,
    )


@pytest.mark.parametrize(
    ("share", "rows"),
    {
        "at least one": (0.01, [3]),
        "the best": (0.2, [3, 4]),
        "of equal ones the first, cut at its end": (0.4, [0, 1, 3, 4]),
        "one without an end counts with what it has": (0.9, [*range(9)]),
        "all": (1.0, [*range(10)]),
    }.values(),
)
def test_the_episodes_with_the_highest_returns_are_taken(share, rows):
    np.testing.assert_array_equal(data.best_rows(make_data(), share), rows)


def test_the_best_episodes_are_data_of_their_own():
    whole = make_data()
    best = data.best_episodes(whole, 0.7)
    rows = [0, 1, 2, 3, 4, 5, 6]
    for name in ("observations", "actions", "rewards", "next_observations", "terminals"):
        np.testing.assert_array_equal(getattr(best, name), getattr(whole, name)[rows])
    np.testing.assert_array_equal(best.episode_starts, [0, 3, 5])
    np.testing.assert_array_equal(best.episode_steps, [0, 1, 2, 0, 1, 0, 1])
    np.testing.assert_array_equal(best.episode_returns, [3.0, 8.0, 0.0])
    assert best.provenance == whole.provenance


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1, np.nan])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(InvalidInputError, match=r"\(0, 1\]"):
        data.best_rows(make_data(), share)


def test_data_without_rewards_have_no_best_episodes():
    with pytest.raises(InvalidInputError, match="rewards are 0"):
        data.best_rows(make_data(rewards=None), 0.5)
