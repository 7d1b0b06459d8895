"""Gaussian, kernel and nearest-neighbour densities against scipy and scikit-learn."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
import sklearn.neighbors

from obd_jax import density
from obd_jax.density.references import fingerprints
from obd_jax.types import InvalidInputError


@pytest.fixture
def observations():
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((4, 4))
    return (rng.standard_normal((500, 4)) @ mixing + 3.0).astype(np.float32)


@pytest.fixture
def queries():
    return np.random.default_rng(1).uniform(-2, 8, (64, 4)).astype(np.float32)


def score(estimator, observations, queries):
    return estimator.log_prob(estimator.init(jax.random.key(0), observations), queries)


def test_gaussian_is_the_maximum_likelihood_normal(observations, queries):
    # scipy 1.17 multivariate_normal with the biased sample covariance.
    expected = scipy.stats.multivariate_normal(
        observations.mean(0, dtype=np.float64), np.cov(observations.T, bias=True)
    ).logpdf(queries)
    actual = score(density.gaussian(), observations, queries)
    np.testing.assert_allclose(actual, expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("bandwidth", [0.1, 0.5, 2.0])
def test_kde_is_the_mean_of_kernels_on_standardised_columns(observations, queries, bandwidth):
    mean, std = observations.mean(0), observations.std(0)
    points, references = (queries - mean) / std, (observations - mean) / std
    # scipy 1.17 normal density, summed in float64.
    kernels = scipy.stats.norm(scale=bandwidth).logpdf(
        (points[:, None] - references[None]).astype(np.float64)
    )
    expected = scipy.special.logsumexp(kernels.sum(-1), axis=1) - np.log(500 * std.prod())
    actual = score(density.kde(bandwidth), observations, queries)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-3)
    # scikit-learn 1.9 KernelDensity; its tree sums are inexact deep in the tails.
    model = sklearn.neighbors.KernelDensity(bandwidth=bandwidth).fit(references)
    bulk = expected > -18
    np.testing.assert_allclose(
        actual[bulk], model.score_samples(points)[bulk] - np.log(std).sum(), atol=1e-2
    )


def test_kde_by_default_is_scipys_with_scotts_rule_in_one_dimension(observations, queries):
    observations, queries = observations[:, :1], queries[:, :1]
    # scipy 1.17 gaussian_kde; its kernel has the unbiased variance, ours the biased one.
    scott = len(observations) ** (-1 / 5) * math.sqrt((len(observations) - 1) / len(observations))
    expected = scipy.stats.gaussian_kde(observations[:, 0], scott).logpdf(queries[:, 0])
    actual = score(density.kde(), observations, queries)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-3)


def test_kde_bandwidth_is_a_parameter_to_vmap_over(observations, queries):
    estimator = density.kde()
    params = estimator.init(jax.random.key(0), observations)
    widths = jnp.array([0.3, 0.9])
    swept = jax.vmap(lambda h: estimator.log_prob(params._replace(bandwidth=h), queries))(widths)
    for row, width in zip(swept, (0.3, 0.9), strict=True):
        np.testing.assert_allclose(
            row, score(density.kde(width), observations, queries), rtol=1e-5, atol=1e-4
        )


@pytest.mark.parametrize("k", [1, 7])
def test_knn_is_the_volume_of_the_ball_of_the_kth_neighbour(observations, queries, k):
    mean, std = observations.mean(0), observations.std(0)
    # scikit-learn 1.9 NearestNeighbors for the distances.
    model = sklearn.neighbors.NearestNeighbors(n_neighbors=k).fit((observations - mean) / std)
    radius = model.kneighbors((queries - mean) / std)[0][:, -1]
    log_ball = math.log(math.pi**2 / 2)  # the unit ball in four dimensions
    expected = np.log(k / 500) - log_ball - 4 * np.log(radius) - np.log(std).sum()
    actual = score(density.knn(k), observations, queries)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-3)


def test_knn_resolves_distances_far_below_the_rounding_of_squared_norms():
    # Neighbours 1e-5 apart, ten standard deviations from the mean.
    grid = np.linspace(-1, 1, 2000, dtype=np.float64)[:, None]
    grid[:3, 0] = 20.0, 20.00002, 20.00006
    estimator = density.knn(2)
    params = estimator.init(jax.random.key(0), grid.astype(np.float32))
    gap = float(np.float32(20.00006) - np.float32(20.0))
    expected = math.log(2 / 1999) - math.log(2 * gap)
    assert estimator.log_prob(params, jnp.float32([[20.0]]))[0] == pytest.approx(expected, abs=0.1)


def test_knn_leaves_out_a_reference_that_is_scored():
    estimator = density.knn(1)
    observations = jnp.float32([[0.0], [1.0], [3.0]])
    params = estimator.init(jax.random.key(0), observations)
    # The distance to the nearest other state is 1, 1 and 2, and there are two others.
    expected = np.log(1 / 2) - np.log(2 * np.array([1.0, 1.0, 2.0]))
    np.testing.assert_allclose(estimator.log_prob(params, observations), expected, rtol=1e-4)


def test_kde_leaves_out_a_reference_that_is_scored():
    estimator = density.kde(0.5)
    # The first two are the same state: each leaves out one of them.
    observations = np.float32([[0.0, 1.0], [0.0, 1.0], [1.0, 3.0], [5.0, -1.0]])
    params = estimator.init(jax.random.key(0), observations)
    mean, std = observations.mean(0), observations.std(0)
    points = ((observations - mean) / std).astype(np.float64)
    kernels = np.exp(-((points[:, None] - points[None]) ** 2).sum(-1) / 2 / 0.5**2)
    kernels /= 2 * np.pi * 0.5**2 * std.prod()
    expected = np.log((kernels.sum(1) - np.diag(kernels)) / 3)
    np.testing.assert_allclose(estimator.log_prob(params, observations), expected, rtol=1e-4)
    fresh = observations + np.float32([[0.0, 1e-3]])
    assert (estimator.log_prob(params, fresh)[2:] > expected[2:] + 1).all()


@pytest.mark.parametrize("make", [lambda: density.kde(max_references=1), density.kde])
def test_a_kde_of_one_state_is_its_own_kernel(make):
    observations = np.zeros((2, 3), np.float32)
    estimator = make()
    params = estimator.init(jax.random.key(0), observations)
    gradient = jax.grad(lambda x: estimator.log_prob(params, x).sum())(observations)
    assert np.isfinite(estimator.log_prob(params, observations)).all()
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i4"])
def test_fingerprints_tell_rows_apart_by_their_bits(dtype):
    # Small whole numbers, whose last bits are all zero.
    with jax.enable_x64(dtype == "f8"):
        grid = np.stack(np.meshgrid(np.arange(200), np.arange(-100, 100)), -1).reshape(-1, 2)
        found = np.asarray(fingerprints(jnp.asarray(grid.astype(dtype))))
        assert len(set(found.tolist())) > len(grid) - 3
        again = jax.jit(fingerprints)(jnp.asarray(grid[::-1].astype(dtype)))
        np.testing.assert_array_equal(again, found[::-1])


@pytest.mark.parametrize("make", [density.kde, density.knn])
def test_references_are_a_random_subset_of_bounded_size(make):
    observations = jnp.arange(200.0)[:, None]
    columns, references, *_ = make(max_references=50).init(jax.random.key(0), observations)
    rows = np.round(np.asarray(references * columns.scale[None, :] + columns.mean[None, :]))[:, 0]
    assert len(set(rows)) == 50
    assert set(rows) <= set(range(200))
    _, other, *_ = make(max_references=50).init(jax.random.key(1), observations)
    assert not np.array_equal(references, other)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: density.kde(0.0), "bandwidth.*0.0"),
        (lambda: density.kde(float("nan")), "bandwidth.*nan"),
        (lambda: density.kde(max_references=0), "max_references.*0"),
        (lambda: density.knn(0), "k must be at least 1"),
        (lambda: density.knn(10, max_references=5), "max_references.*10: 5"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()


def test_knn_refuses_fewer_states_than_neighbours():
    with pytest.raises(InvalidInputError, match="k = 10 got only 5"):
        density.knn(10).init(jax.random.key(0), jnp.zeros((5, 2)))
