"""Measures of policies without an environment."""

import numpy as np
import pytest

from obd_jax.evaluation import offline
from obd_jax.types import InvalidInputError


def test_errors_are_averaged_over_policies_and_actions():
    wanted = np.array([[0.0, 0.0], [1.0, -1.0]])
    actions = np.array([[[0.1, 0.3], [1.0, -1.0]], [[0.0, 0.0], [0.0, 0.0]]])
    np.testing.assert_allclose(
        offline.action_errors(actions, wanted), [(0.01 + 0.09) / 4, (0 + 0 + 1 + 1) / 4]
    )


def test_errors_are_split_by_density_the_rarest_first():
    rng = np.random.default_rng(0)
    log_density = rng.permutation(100).astype(float)
    np.testing.assert_allclose(
        offline.by_density(log_density**2, log_density),
        [np.mean(np.square(np.arange(10 * i, 10 * i + 10))) for i in range(10)],
    )
    # Parts of 23 states: three of three, seven of two.
    found = offline.by_density(np.ones(23), rng.normal(size=23))
    np.testing.assert_allclose(found, 1)
    assert found.shape == (10,)
    with pytest.raises(InvalidInputError, match="9 states cannot be split into 10"):
        offline.by_density(np.ones(9), np.ones(9))


def test_the_critic_prefers_what_it_values_more():
    teacher = np.array([1.0, 2.0, 3.0])
    policies = np.array([[0.0, 2.0, 5.0], [1.0, 1.0, 1.0]])
    share, lost = offline.preference(teacher, policies)
    assert share == pytest.approx((1 + 0.5 + 0 + 0.5 + 1 + 1) / 6)
    assert lost == pytest.approx((1 + 0 - 2 + 0 + 1 + 2) / 6)
    assert offline.preference(teacher, teacher[None]) == (0.5, 0.0)


def test_an_estimate_has_the_spread_of_its_members():
    values = np.array([[1.0, 3.0], [2.0, 6.0]])
    assert offline.estimate(values) == {
        "mean": 3.0,
        "spread": pytest.approx(2**0.5),
        "members": [2.0, 4.0],
    }
    assert offline.estimate(values[:1])["spread"] is None
