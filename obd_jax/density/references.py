"""The reference states that kernel and nearest-neighbour estimators compare with."""

import jax
import jax.numpy as jnp

from obd_jax.types import Array, Key


def random_rows(key: Key, observations: Array, max_rows: int) -> Array:
    """At most max_rows rows of observations [M, D], drawn without replacement; all if M is less."""
    num_rows = observations.shape[0]
    if num_rows <= max_rows:
        return observations
    return observations[jax.random.choice(key, num_rows, (max_rows,), replace=False)]


def squared_distances(points: Array, references: Array) -> Array:
    """Squared Euclidean distances [B, R] between points [B, D] and references [R, D].

    One matrix product, so accurate to rounding of the squared norms, not of the distance.
    """
    squares = (
        jnp.sum(points**2, axis=1)[:, None]
        + jnp.sum(references**2, axis=1)[None, :]
        - 2.0 * jnp.matmul(points, references.T, precision="highest")
    )
    return jnp.maximum(squares, 0.0)
