"""Properties that every density estimator has, on one table."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from obd_jax import density
from obd_jax.types import InvalidInputError

pytestmark = [
    pytest.mark.usefixtures("unoptimised"),
    # Which so few steps may not improve.
    pytest.mark.filterwarnings("ignore:the density is the untrained one"),
]

# Estimator, and how far its integral over the grid may be from 1: the grid's own error, and
# for kNN what it has too much: k / (k - 1) on average, and tails that fall only as r^-D.
ESTIMATORS = {
    "gaussian": (density.gaussian(), 1e-3),
    "kde": (density.kde(), 1e-3),
    "kde-narrow": (density.kde(0.2, max_references=300), 5e-3),
    "knn": (density.knn(20), 0.25),
    "maf": (density.maf(3, (16, 16)), 5e-3),
}
ROWS = 2000  # of all two-dimensional cases, so that they share compiled code
MAF_OPTIONS = {"epochs": 2, "batch_size": 100}

table = pytest.mark.parametrize("estimator", [e for e, _ in ESTIMATORS.values()], ids=ESTIMATORS)


def fit(estimator, observations, key=0):
    params, _ = density.fit(jax.random.key(key), estimator, observations, **MAF_OPTIONS)
    return params


def log_prob(estimator, params, observations):
    return density.log_prob_chunked(estimator, params, observations, chunk_size=1024)


def banana(rng, rows):
    """A curved, correlated, skewed cloud."""
    x = rng.standard_normal((rows, 2))
    return np.stack([x[:, 0], 0.5 * x[:, 0] ** 2 + 0.4 * x[:, 1]], axis=1).astype(np.float32)


@pytest.mark.parametrize(("estimator", "tolerance"), ESTIMATORS.values(), ids=ESTIMATORS)
def test_integrates_to_one(estimator, tolerance):
    observations = banana(np.random.default_rng(0), ROWS)
    params = fit(estimator, observations)
    x = np.linspace(-8, 8, 161)
    y = np.linspace(-8, 16, 241)
    grid = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2).astype(np.float32)
    values = np.exp(log_prob(estimator, params, grid).astype(np.float64))
    assert values.sum() * (x[1] - x[0]) * (y[1] - y[0]) == pytest.approx(1.0, abs=tolerance)


@table
def test_is_equivariant_to_shift_and_scale(estimator):
    observations = banana(np.random.default_rng(1), ROWS)
    # A mirrored column is another, equally random, initial flow, so those are not mirrored.
    scale = np.float32([4.0, 0.125 if estimator.trainable else -0.125])
    moved = scale * observations + np.float32([1.0, 2.0])
    before = log_prob(estimator, estimator.init(jax.random.key(3), observations), observations)
    after = log_prob(estimator, estimator.init(jax.random.key(3), moved), moved)
    np.testing.assert_allclose(after, before - np.log(np.abs(scale)).sum(), atol=2e-3)


def test_maf_fit_is_equivariant_to_shift_and_scale():
    estimator, _ = ESTIMATORS["maf"]
    observations = banana(np.random.default_rng(2), ROWS)
    scale, shift = np.float32([4.0, 0.125]), np.float32([1.0, 2.0])
    moved = scale * observations + shift
    before = log_prob(estimator, fit(estimator, observations), observations)
    after = log_prob(estimator, fit(estimator, moved), moved)
    np.testing.assert_allclose(after, before - np.log(scale).sum(), atol=2e-2)


@table
def test_degenerate_data_give_finite_densities(estimator):
    rng = np.random.default_rng(4)
    base = rng.standard_normal((50, 3)).astype(np.float32)
    observations = np.concatenate(
        [
            base,
            base[:, :1] * 2,  # a column that follows from another one
            np.full((50, 1), 0.1, np.float32),  # a constant column
        ],
        axis=1,
    )
    observations = np.concatenate([np.repeat(observations[:1], 150, axis=0), observations])
    params = fit(estimator, observations)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
    assert np.isfinite(log_prob(estimator, params, observations)).all()


@table
def test_a_single_repeated_state_gives_a_finite_density(estimator):
    observations = np.full((60, 3), 0.7, np.float32)
    params = fit(estimator, observations)
    assert np.isfinite(log_prob(estimator, params, observations)).all()


@pytest.mark.parametrize(
    "estimator", [*(e for e, _ in ESTIMATORS.values()), density.knn(2)], ids=[*ESTIMATORS, "knn-2"]
)
def test_states_that_were_fitted_are_as_dense_as_fresh_ones_of_the_same_law(estimator):
    rng = np.random.default_rng(8)
    observations, fresh = rng.standard_normal((2, ROWS, 6)).astype(np.float32)
    params = fit(estimator, observations)
    states = observations, fresh
    fitted, other = (log_prob(estimator, params, x).astype(float) for x in states)
    error = ((fitted.var() + other.var()) / ROWS) ** 0.5
    assert fitted.mean() == pytest.approx(other.mean(), abs=4 * error)


@table
def test_far_away_states_are_finite_and_less_likely(estimator):
    observations = banana(np.random.default_rng(5), ROWS)
    params = fit(estimator, observations)
    directions = np.float32([[1, 0], [0, -1], [-1, 1]])
    far = np.concatenate([distance * directions for distance in (1e2, 1e4, 1e8)])
    log_density = log_prob(estimator, params, far)
    assert np.isfinite(log_density).all()
    assert log_density.max() < log_prob(estimator, params, observations).min()


@table
def test_log_prob_and_its_gradient_are_finite_under_vmap_and_grad(estimator):
    observations = jnp.asarray(banana(np.random.default_rng(6), ROWS))
    params = estimator.init(jax.random.key(0), observations)
    score = jax.vmap(jax.grad(lambda x: estimator.log_prob(params, x[None, :])[0]))(observations)
    assert score.shape == observations.shape
    assert jnp.isfinite(score).all()


@pytest.mark.parametrize("name", density.DENSITIES)
def test_every_known_density_is_made_by_name(name):
    estimator = density.make(name)
    assert density.make(name) is estimator  # Or else every fit would be compiled again.
    observations = np.random.default_rng(7).standard_normal((40, 3)).astype(np.float32)
    params = estimator.init(jax.random.key(0), observations)
    assert estimator.log_prob(params, observations).shape == (40,)


def test_an_unknown_density_is_refused_with_the_known_names():
    with pytest.raises(InvalidInputError, match=r"'flow'.*gaussian, kde, knn, maf"):
        density.make("flow")
