"""Multivariate normal density."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from obd_jax.density.standardize import ColumnStatistics, column_statistics
from obd_jax.types import Array, DensityEstimator, Key

# Added to the unit variances of standardised columns: collinear columns stay invertible in
# float32, and a well-conditioned fit moves by about as much as rounding does.
_RIDGE = 1e-6


class GaussianParams(NamedTuple):
    """Maximum-likelihood normal distribution.

    columns:  statistics of the D columns.
    cholesky: [D, D] lower factor of the covariance of standardised columns.
    """

    columns: ColumnStatistics
    cholesky: Array


def gaussian() -> DensityEstimator:
    """Normal distribution with the mean and full covariance of the data, in closed form.

    Constant columns get unit variance; collinear columns a relative ridge of 1e-6.
    """

    def init(key: Key, observations: Array) -> GaussianParams:
        del key
        columns = column_statistics(observations)
        z = columns.standardize(observations)
        covariance = z.T @ z / z.shape[0] + jnp.diag(1.0 - columns.varies + _RIDGE)
        return GaussianParams(columns, jnp.linalg.cholesky(covariance))

    def log_prob(params: GaussianParams, observations: Array) -> Array:
        z = params.columns.standardize(observations)
        white = jax.scipy.linalg.solve_triangular(params.cholesky, z.T, lower=True)
        log_det = jnp.sum(jnp.log(jnp.diagonal(params.cholesky))) + params.columns.log_volume
        size = observations.shape[1]
        return -0.5 * jnp.sum(white**2, axis=0) - log_det - 0.5 * size * jnp.log(2 * jnp.pi)

    return DensityEstimator(init=init, log_prob=log_prob, trainable=False)
