"""Losses of several students as one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from obd_jax import distill
from obd_jax.types import InvalidInputError

LOSSES = jnp.array([0.1, 0.4, 0.2])


@pytest.mark.parametrize(
    ("name", "temperature", "value"),
    [
        ("sum", None, 0.7),
        ("mean", None, 0.7 / 3),
        ("worst", None, 0.4),
        ("log_sum_exp", 0.1, 0.1 * np.log(np.mean(np.exp([1.0, 4.0, 2.0])))),
        ("log_sum_exp", 1e-4, 0.4 - 1e-4 * np.log(3)),  # No overflow.
        ("log_sum_exp", 100.0, 0.7 / 3),
    ],
)
def test_values(name, temperature, value):
    aggregate = distill.make_aggregation(name, temperature)
    assert float(aggregate(LOSSES)) == pytest.approx(value, rel=1e-3)


def test_losses_count_by_the_softmax_of_themselves():
    gradient = jax.grad(distill.log_sum_exp(0.1))(LOSSES)
    np.testing.assert_allclose(gradient, jax.nn.softmax(LOSSES / 0.1), rtol=1e-5)


def test_of_equal_losses_it_is_that_loss():
    for name in distill.AGGREGATIONS[1:]:
        aggregate = distill.make_aggregation(name, 0.05 if name == "log_sum_exp" else None)
        assert float(aggregate(jnp.full(5, 0.3))) == pytest.approx(0.3, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "temperature", "message"),
    [
        ("median", None, "unknown aggregation 'median'; known: sum, mean, worst, log_sum_exp"),
        ("mean", 0.1, "'mean' has no temperature, got 0.1"),
        ("log_sum_exp", None, "needs a positive temperature, got None"),
        ("log_sum_exp", 0.0, "needs a positive temperature, got 0.0"),
        ("log_sum_exp", np.nan, "needs a positive temperature, got nan"),
    ],
)
def test_what_cannot_be_aggregated_is_refused(name, temperature, message):
    with pytest.raises(InvalidInputError, match=message):
        distill.make_aggregation(name, temperature)
