"""Stepwise dual ranking."""

import numpy as np
import pytest

from obd_jax.selection import dual_ranking
from obd_jax.types import InvalidInputError


def test_early_rare_and_valuable_states_are_taken():
    steps = np.array([0, 1, 2, 3, 0, 1])
    values = np.array([5.0, 4.0, 1.0, 9.0, 3.0, 0.0])
    log_density = np.array([0.0, -3.0, -1.0, -9.0, -2.0, -np.inf])
    # Without row 3, which is late: ranks by value 1 2 4 - 3 5, by density 5 2 4 - 3 1.
    rows = dual_ranking(steps, values, log_density, 3, last_step=2)
    np.testing.assert_array_equal(rows, [1, 0, 4])
    np.testing.assert_array_equal(dual_ranking(steps, values, log_density, 1, last_step=3), [3])


def test_only_ranks_count():
    rng = np.random.default_rng(0)
    steps, values, log_density = rng.integers(0, 9, 50), rng.normal(size=50), rng.normal(size=50)
    rows = dual_ranking(steps, values, log_density, 10, last_step=5)
    moved = dual_ranking(steps, np.exp(values), 7 * log_density - 3, 10, last_step=5)
    np.testing.assert_array_equal(rows, moved)
    assert (steps[rows] <= 5).all()
    assert len(set(rows)) == 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 0}, "between 1 and the 2 states up to step 1, got 0"),
        ({"size": 3}, "between 1 and the 2 states up to step 1, got 3"),
        ({"values": np.array([1.0, np.nan, 2.0])}, "got nan"),
        ({"log_density": np.array([1.0, np.nan, 2.0])}, "got nan"),
    ],
)
def test_bad_input_is_refused(change, message):
    given = {"steps": np.arange(3), "values": np.ones(3), "log_density": np.ones(3), "size": 1}
    with pytest.raises(InvalidInputError, match=message):
        dual_ranking(**given | change, last_step=1)
