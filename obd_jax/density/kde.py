"""Kernel density estimate with a product Gaussian kernel."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from obd_jax.density.references import fingerprints, random_rows
from obd_jax.density.standardize import ColumnStatistics, column_statistics
from obd_jax.numerics import squared_distances
from obd_jax.types import Array, DensityEstimator, InvalidInputError, Key

# Log kernel of a reference that does not count; finite, for gradients where none does.
_LEFT_OUT = -1e30


class KdeParams(NamedTuple):
    """Reference states and kernel width; replace `bandwidth` to sweep it.

    columns:      statistics of the D columns.
    references:   [R, D] standardised states.
    fingerprints: [R] of the references.
    bandwidth:    [] kernel standard deviation, in standard deviations of each column.
    """

    columns: ColumnStatistics
    references: Array
    fingerprints: Array
    bandwidth: Array


def kde(bandwidth: float | None = None, *, max_references: int = 10_000) -> DensityEstimator:
    """Mean of Gaussian kernels at up to max_references random states.

    A reference that is scored is left out, once: its density is that by the others, as a fresh
    state's is. In 17 dimensions its own kernel would be most of it.

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
        rows = random_rows(key, observations, max_references)
        references = columns.standardize(rows)
        count, size = references.shape
        width = count ** (-1 / (size + 4)) if bandwidth is None else bandwidth
        width = jnp.asarray(width, references.dtype)
        return KdeParams(columns, references, fingerprints(rows), width)

    def log_prob(params: KdeParams, observations: Array) -> Array:
        count, size = params.references.shape
        points = params.columns.standardize(observations) / params.bandwidth
        squares = squared_distances(points, params.references / params.bandwidth)
        same = fingerprints(observations)[:, None] == params.fingerprints[None, :]
        # Of references equal to a state, one is that state. A lone reference has no others.
        copies = jnp.sum(same, axis=1)
        left_out = (copies > 0) & (count > 1)
        logits = jnp.where(same & (count > 1), _LEFT_OUT, -0.5 * squares)
        other_copies = jnp.log(jnp.maximum(copies - 1, 0))
        log_sum = jnp.logaddexp(jax.nn.logsumexp(logits, axis=1), other_copies)
        log_norm = (
            jnp.log(count - left_out)
            + size * (jnp.log(params.bandwidth) + 0.5 * jnp.log(2 * jnp.pi))
            + params.columns.log_volume
        )
        return log_sum - log_norm

    return DensityEstimator(init=init, log_prob=log_prob, trainable=False)
