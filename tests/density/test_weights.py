"""Tempered reciprocal density weights against numpy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from obd_jax import density
from obd_jax.types import InvalidInputError


def reference(log_density, temperature, quantile):
    """Weights and effective sample fraction of finite log densities, in numpy float64."""
    log_density = np.asarray(log_density, np.float64)
    floored = np.maximum(log_density, np.quantile(log_density, quantile))
    weights = np.exp(-temperature * (floored - floored.min()))
    weights /= weights.mean()
    return weights, weights.sum() ** 2 / (weights**2).sum() / len(weights)


@pytest.mark.parametrize("quantile", [0.0, 0.01, 0.3, 1.0])
@pytest.mark.parametrize("temperature", [0.05, 0.25, 1.0])
def test_weights_are_the_floored_tempered_reciprocal(temperature, quantile):
    log_density = np.random.default_rng(0).normal(-5, 9, 4000).astype(np.float32)
    expected, expected_fraction = reference(log_density, temperature, quantile)
    actual = density.reciprocal_weights(log_density, temperature, quantile)
    np.testing.assert_allclose(actual.weights, expected, rtol=2e-4)
    assert actual.effective_sample_fraction == pytest.approx(expected_fraction, rel=1e-3)
    assert actual.num_invalid == 0


def test_a_small_case_by_hand():
    # w is proportional to 1/1, 1/2, 1/4, so to 4, 2, 1: mean 7/3, fraction 49 / (3 * 21).
    actual = density.reciprocal_weights(jnp.log(jnp.array([1.0, 2.0, 4.0])), 1.0, 0.0)
    np.testing.assert_allclose(actual.weights, np.array([4, 2, 1]) * 3 / 7, rtol=1e-6)
    assert actual.effective_sample_fraction == pytest.approx(7 / 9, rel=1e-6)


def test_non_finite_densities_are_handled_one_by_one():
    log_density = jnp.array([-jnp.inf, -2.0, 0.0, 1.0, jnp.inf, jnp.nan])
    weights, _, num_invalid = density.reciprocal_weights(log_density, 0.5, 0.0)
    assert num_invalid == 1
    assert weights[5] == 0
    assert weights[0] == weights[1]  # -inf is the floor
    assert weights[4] == weights[3]  # +inf is the largest finite value
    assert weights.mean() == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("temperature", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("quantile", [0.0, 0.01])
def test_the_extremes_of_published_densities_neither_overflow_nor_vanish(temperature, quantile):
    # The widest range seen on D4RL states: three -inf, one -7.1e6, the largest 36.4.
    bulk = np.random.default_rng(1).normal(-4, 9, 100_000)
    log_density = np.concatenate([bulk, [-np.inf] * 3, [-7.1e6, 36.4]]).astype(np.float32)
    actual = density.reciprocal_weights(log_density, temperature, quantile)
    assert np.isfinite(actual.weights).all()
    assert actual.weights.mean() == pytest.approx(1.0, rel=1e-5)
    assert 0.99 / len(log_density) < actual.effective_sample_fraction <= 1.0 + 1e-5
    assert actual.num_invalid == 0


@pytest.mark.parametrize("value", [-7.1e6, -np.inf, 0.0, 36.4, np.inf])
def test_a_constant_density_weighs_all_states_equally(value):
    weights, fraction, _ = density.reciprocal_weights(jnp.full(100, value), 1.0)
    np.testing.assert_array_equal(weights, 1.0)
    assert fraction == 1.0


def test_temperature_zero_weighs_all_states_equally():
    weights, fraction, _ = density.reciprocal_weights(jnp.linspace(-50.0, 30.0, 100), 0.0)
    np.testing.assert_array_equal(weights, 1.0)
    assert fraction == 1.0


def test_a_million_weights_have_mean_one_in_float32():
    log_density = np.random.default_rng(2).normal(0, 9, 1_000_000).astype(np.float32)
    weights = density.reciprocal_weights(log_density, 0.1).weights
    assert np.asarray(weights, np.float64).mean() == pytest.approx(1.0, abs=1e-4)


def test_a_vmap_over_temperatures_under_jit_is_a_loop():
    log_density = jnp.asarray(np.random.default_rng(3).normal(0, 9, 1000), jnp.float32)
    temperatures = jnp.array([0.0, 0.1, 1.0])
    swept = jax.jit(jax.vmap(density.reciprocal_weights, (None, 0)))(log_density, temperatures)
    for row, temperature in enumerate(temperatures):
        alone = density.reciprocal_weights(log_density, temperature)
        np.testing.assert_allclose(swept.weights[row], alone.weights, rtol=1e-5)
        np.testing.assert_allclose(
            swept.effective_sample_fraction[row], alone.effective_sample_fraction, rtol=1e-5
        )


@pytest.mark.parametrize(
    ("log_density", "temperature", "quantile", "message"),
    [
        (np.zeros(3), -0.1, 0.01, "temperature must be finite and not negative, got -0.1"),
        (np.zeros(3), np.inf, 0.01, "temperature.*inf"),
        (np.zeros(3), np.nan, 0.01, "temperature.*nan"),
        (np.zeros(3), 0.1, 1.5, r"floor_quantile must be in \[0, 1\], got 1.5"),
        (np.zeros(3), 0.1, -0.5, "floor_quantile"),
        (np.zeros(3), 0.1, np.nan, "floor_quantile"),
        (np.zeros((3, 1)), 0.1, 0.01, r"\[M\].*\[3, 1\]"),
        (np.zeros(0), 0.1, 0.01, r"M >= 1.*\[0\]"),
        (np.full(3, np.nan), 0.1, 0.01, "NaN for every state"),
    ],
)
def test_bad_input_is_refused(log_density, temperature, quantile, message):
    with pytest.raises(InvalidInputError, match=message):
        density.reciprocal_weights(log_density, temperature, quantile)
