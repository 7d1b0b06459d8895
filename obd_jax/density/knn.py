"""k-nearest-neighbour density estimate."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from obd_jax.density.references import fingerprints, random_rows
from obd_jax.density.standardize import ColumnStatistics, column_statistics
from obd_jax.numerics import squared_distances
from obd_jax.types import Array, DensityEstimator, InvalidInputError, Key

# In standard deviations: float32 hardly tells standardised states apart that are closer, and
# k coinciding states would otherwise have infinite density.
_MIN_DISTANCE = 1e-6


class KnnParams(NamedTuple):
    """Reference states.

    columns:      statistics of the D columns.
    references:   [R, D] standardised states.
    fingerprints: [R] of the references.
    """

    columns: ColumnStatistics
    references: Array
    fingerprints: Array


def knn(k: int = 10, *, max_references: int = 10_000) -> DensityEstimator:
    """Density k / (R V r_k^D), with r_k the distance to the k-th nearest of R references.

    V is the volume of the D-dimensional unit ball and distances are between standardised
    states (Loftsgaarden & Quesenberry 1965). r_k is at least 1e-6, so k coinciding states
    have a large but finite density. A reference that is scored is left out, once: its neighbours
    are among the other R - 1, as a fresh state's are among R. The estimate does not integrate to
    exactly 1: its tails fall only as r^-D.

    Args:
        k: number of neighbours.
        max_references: all states are references up to this many, a random subset beyond.

    Raises:
        InvalidInputError: k < 1, or max_references <= k; from `init`, no more than k states.
    """
    if k < 1:
        raise InvalidInputError(f"knn k must be at least 1, got {k}")
    if max_references <= k:
        raise InvalidInputError(f"knn max_references must be more than k = {k}: {max_references}")

    def init(key: Key, observations: Array) -> KnnParams:
        columns = column_statistics(observations)
        if observations.shape[0] <= k:
            raise InvalidInputError(f"knn with k = {k} got only {observations.shape[0]} states")
        rows = random_rows(key, observations, max_references)
        return KnnParams(columns, columns.standardize(rows), fingerprints(rows))

    def log_prob(params: KnnParams, observations: Array) -> Array:
        count, size = params.references.shape
        z = params.columns.standardize(observations)
        same = fingerprints(observations)[:, None] == params.fingerprints[None, :]
        left_out = jnp.any(same, axis=1)
        # One more than needed: a reference finds itself first.
        _, nearest = jax.lax.top_k(-squared_distances(z, params.references), k + 1)
        # The matrix product rounds small distances away: measure the chosen ones directly.
        squares = jnp.sort(jnp.sum((z[:, None, :] - params.references[nearest]) ** 2, axis=-1))
        radius_squared = jnp.where(left_out, squares[:, k], squares[:, k - 1])
        radius_squared = jnp.maximum(radius_squared, _MIN_DISTANCE**2)
        log_ball = 0.5 * size * jnp.log(jnp.pi) - jax.scipy.special.gammaln(0.5 * size + 1.0)
        log_norm = jnp.log(count - left_out) + log_ball + params.columns.log_volume
        return jnp.log(k) - log_norm - 0.5 * size * jnp.log(radius_squared)

    return DensityEstimator(init=init, log_prob=log_prob, trainable=False)
