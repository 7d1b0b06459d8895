"""Kernel density estimate with a product Gaussian kernel."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from obd_jax.density.references import random_rows
from obd_jax.density.standardize import ColumnStatistics, column_statistics
from obd_jax.numerics import squared_distances
from obd_jax.types import Array, DensityEstimator, InvalidInputError, Key


class KdeParams(NamedTuple):
    """Reference states and kernel width; replace `bandwidth` to sweep it.

    columns:    statistics of the D columns.
    references: [R, D] standardised states.
    bandwidth:  [] kernel standard deviation, in standard deviations of each column.
    """

    columns: ColumnStatistics
    references: Array
    bandwidth: Array


def kde(bandwidth: float | None = None, *, max_references: int = 10_000) -> DensityEstimator:
    """Mean of Gaussian kernels at up to max_references random states.

    Args:
        bandwidth: kernel width in standard deviations of each column; None is Scott's rule,
            R^(-1 / (D + 4)) for R references (Scott, Multivariate Density Estimation, 1992).
        max_references: the estimate is exact for up to this many states and uses a random
            subset of this size beyond.

    Raises:
        InvalidInputError: bandwidth is not positive and finite, or max_references < 1.
    """
    if bandwidth is not None and not (bandwidth > 0 and math.isfinite(bandwidth)):
        raise InvalidInputError(f"kde bandwidth must be positive and finite, got {bandwidth}")
    if max_references < 1:
        raise InvalidInputError(f"kde max_references must be at least 1, got {max_references}")

    def init(key: Key, observations: Array) -> KdeParams:
        columns = column_statistics(observations)
        references = columns.standardize(random_rows(key, observations, max_references))
        count, size = references.shape
        width = count ** (-1 / (size + 4)) if bandwidth is None else bandwidth
        return KdeParams(columns, references, jnp.asarray(width, references.dtype))

    def log_prob(params: KdeParams, observations: Array) -> Array:
        count, size = params.references.shape
        points = params.columns.standardize(observations) / params.bandwidth
        squares = squared_distances(points, params.references / params.bandwidth)
        log_norm = (
            jnp.log(count)
            + size * (jnp.log(params.bandwidth) + 0.5 * jnp.log(2 * jnp.pi))
            + params.columns.log_volume
        )
        return jax.nn.logsumexp(-0.5 * squares, axis=1) - log_norm

    return DensityEstimator(init=init, log_prob=log_prob, trainable=False)
