"""Members of a population: what they share, and what is recorded of them."""

import numpy as np

from obd_jax.pipeline import together
from obd_jax.types import Targets


def test_what_members_share_is_kept_once():
    states, actions = np.zeros((4, 2)), np.ones((4, 1))
    weights = [np.full(4, value) for value in (1.0, 1.0, 2.0)]
    targets = [Targets(states.copy(), actions, weight) for weight in weights]
    found, axes = together.stacked(targets)
    assert axes == (None, None, 0)
    assert [leaf.shape for leaf in found] == [(4, 2), (4, 1), (3, 4)]
    np.testing.assert_array_equal(found.weights[:, 0], [1, 1, 2])


def test_the_record_of_a_stage_continues_those_before():
    place = {
        "stage": 1,
        "before": {"step": 30, "seconds": 2.0, "skipped": [1, 0]},
        "own": {"step": 10, "seconds": 0.5, "skipped": [2, 0], "loss": [None, 0.1]},
    }
    expected = {"step": 40, "seconds": 2.5, "skipped": [3, 0], "loss": [None, 0.1]}
    assert together.total_record(place) == expected


def test_numbers_are_plain_and_what_is_not_finite_is_none():
    assert together.plain(np.array([1.5, np.nan, np.inf])) == [1.5, None, None]
    assert together.plain(np.array([2, 3])) == [2, 3]
    assert together.plain(7) == 7
