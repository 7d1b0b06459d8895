"""Column statistics that make every estimator equivariant to shift and scale."""

from typing import NamedTuple

import jax.numpy as jnp

from obd_jax.types import Array, InvalidInputError


class ColumnStatistics(NamedTuple):
    """Affine map to columns of mean 0 and standard deviation 1; data, never trained.

    A constant column has no scale of its own: it is centred, keeps its unit, and is
    modelled as independent of the others, which adds one and the same number to the log
    density of every state that shares its value.

    mean:   [D].
    scale:  [D] standard deviation; 1 for a constant column.
    varies: [D] 1 for a column that varies, 0 for a constant one.
    """

    mean: Array
    scale: Array
    varies: Array

    def standardize(self, observations: Array) -> Array:
        """Observations [B, D] -> standardised observations [B, D]."""
        return (observations - self.mean[None, :]) / self.scale[None, :]

    @property
    def log_volume(self) -> Array:
        """Log volume [] of the unit cube of standardised space, in observation units."""
        return jnp.sum(jnp.log(self.scale))


def column_statistics(observations: Array) -> ColumnStatistics:
    """Mean and standard deviation of every column of observations [M, D].

    Raises:
        InvalidInputError: observations are not [M, D] with M >= 2 and D >= 1.
    """
    shape = jnp.shape(observations)
    if len(shape) != 2 or shape[0] < 2 or shape[1] < 1:
        raise InvalidInputError(
            f"a density needs observations [M, D] with M >= 2 and D >= 1, got shape {list(shape)}"
        )
    # Relative to one row, so that a constant column is exactly zero and a large offset costs
    # no digits.
    offset = observations[0]
    relative = observations - offset[None, :]
    mean = jnp.mean(relative, axis=0)
    std = jnp.std(relative, axis=0)
    varies = std > 0
    return ColumnStatistics(
        mean=offset + mean,
        scale=jnp.where(varies, std, 1.0),
        varies=varies.astype(std.dtype),
    )
