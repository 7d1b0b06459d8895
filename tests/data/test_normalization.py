"""Mean and scale of observations."""

import jax.numpy as jnp
import numpy as np
import pytest

from obd_jax.data import constant_columns, normalization, normalizer
from obd_jax.types import InvalidInputError


def test_statistics_are_mean_and_population_deviation_plus_epsilon():
    # By hand: columns (0, 2, 4) and (1, 1, 4).
    found = normalizer(np.array([[0.0, 1.0], [2.0, 1.0], [4.0, 4.0]]), epsilon=0.5)
    np.testing.assert_allclose(found.mean, [2, 2], rtol=1e-6)
    np.testing.assert_allclose(found.scale, [(8 / 3) ** 0.5 + 0.5, 2**0.5 + 0.5], rtol=1e-6)


def test_the_default_epsilon_is_the_papers():
    observations = np.random.default_rng(0).normal(size=(1000, 3))
    np.testing.assert_allclose(
        normalizer(observations).scale, observations.std(axis=0) + 1e-3, rtol=1e-6
    )


def test_chunks_change_nothing(monkeypatch):
    observations = np.random.default_rng(0).normal(size=(1000, 3)).astype(np.float32)
    whole = normalizer(observations)
    monkeypatch.setattr(normalization, "_CHUNK", 7)
    for left, right in zip(whole, normalizer(observations), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-6, atol=1e-7)


def test_a_small_deviation_survives_a_large_offset():
    rng = np.random.default_rng(0)
    observations = (1e4 + 0.5 * rng.normal(size=(200_000, 1))).astype(np.float32)
    exact = observations.astype(np.float64)
    found = normalizer(observations)
    np.testing.assert_allclose(found.scale, exact.std(axis=0) + 1e-3, rtol=1e-5)
    assert constant_columns(observations).size == 0


def test_constant_columns_are_reported_and_scaled_safely():
    rng = np.random.default_rng(0)
    rows = 1000
    observations = np.stack(
        [
            np.zeros(rows),
            rng.normal(size=rows),
            np.full(rows, 0.3),
            # One unit in the last place of float32 at 1e6 is 0.0625.
            1e6 + rng.choice([0, 0.0625], rows),
            np.full(rows, -1e30),
            1e-6 * rng.normal(size=rows),
        ],
        axis=1,
    ).astype(np.float32)
    np.testing.assert_array_equal(constant_columns(observations), [0, 2, 3, 4])
    found = normalizer(observations)
    np.testing.assert_allclose(
        found.scale, [1, observations[:, 1].std() + 1e-3, 1, 1e6, 1e30, 1e-3], rtol=0.01
    )
    normalized = (observations - np.asarray(found.mean)) / np.asarray(found.scale)
    assert np.abs(normalized[:, [0, 2, 3, 4]]).max() < 1e-6


def test_one_row_is_constant():
    np.testing.assert_array_equal(constant_columns(np.ones((1, 2))), [0, 1])


def test_statistics_are_single_precision_jax_arrays():
    found = normalizer(np.ones((3, 2)))
    assert found.mean.dtype == found.scale.dtype == jnp.float32


@pytest.mark.parametrize("shape", [(0, 3), (3,), (2, 3, 4)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(InvalidInputError, match="observations have shape"):
        normalizer(np.zeros(shape))
