"""The good episodes, on episodes that are written out."""

import numpy as np
import pytest

from obd_jax import data
from obd_jax.types import InvalidInputError

# Returns 3, 8, -3 and, without an end, 4; rows 0-2, 3-4, 5-7 and 8-9.
REWARDS = np.array([1, 1, 1, 4, 4, 0, 0, -3, 4, 0], np.float32)
TIMEOUTS = np.array([0, 0, 1, 0, 1, 0, 0, 1, 0, 0])


def make_data(rewards=REWARDS):
    states = np.arange(20.0).reshape(10, 2)
    following = np.where(TIMEOUTS[:, None], states + 0.5, np.roll(states, -1, axis=0))
    following[-1] = states[-1] + 0.5
    return data.from_arrays(
        states,
        np.zeros((10, 1)),
        rewards=rewards,
        next_observations=following,
        timeouts=TIMEOUTS,
    )


@pytest.mark.parametrize(
    ("least", "rows", "starts", "returns"),
    {
        "the best alone": (1.0, [3, 4], [0], [8.0]),
        "a share that one reaches exactly": (0.5, [3, 4, 8, 9], [0, 2], [8.0, 4.0]),
        "a third": (1 / 3, [0, 1, 2, 3, 4, 8, 9], [0, 3, 5], [3.0, 8.0, 4.0]),
        "no negative ones": (0.0, [0, 1, 2, 3, 4, 8, 9], [0, 3, 5], [3.0, 8.0, 4.0]),
    }.values(),
)
def test_the_good_episodes_are_data_of_their_own(least, rows, starts, returns):
    whole = make_data()
    best = data.best_episodes(whole, least)
    for name in ("observations", "actions", "rewards", "next_observations", "terminals"):
        np.testing.assert_array_equal(getattr(best, name), getattr(whole, name)[rows])
    np.testing.assert_array_equal(best.episode_starts, starts)
    np.testing.assert_array_equal(best.episode_returns, returns)
    np.testing.assert_array_equal(best.episode_steps, whole.episode_steps[rows])
    assert best.provenance == whole.provenance


@pytest.mark.parametrize("least", [-0.1, 1.1, np.nan])
def test_a_share_out_of_range_is_refused(least):
    with pytest.raises(InvalidInputError, match=r"\[0, 1\]"):
        data.best_episodes(make_data(), least)


# Returns -3, -8, -5 and -4.
@pytest.mark.parametrize(
    ("least", "returns"), [(1.0, [-3.0]), (0.8, [-3.0, -4.0]), (0.0, [-3.0, -8.0, -5.0, -4.0])]
)
def test_where_no_return_is_positive_the_share_counts_from_the_worst(least, returns):
    rewards = -np.array([1, 1, 1, 4, 4, 1, 1, 3, 4, 0], np.float32)
    best = data.best_episodes(make_data(rewards), least)
    np.testing.assert_array_equal(best.episode_returns, returns)


def test_episodes_without_rewards_are_refused():
    with pytest.raises(InvalidInputError, match="all rewards are 0"):
        data.best_episodes(make_data(None), 0.5)
