"""The reference states that kernel and nearest-neighbour estimators compare with."""

import jax

from obd_jax.types import Array, Key


def random_rows(key: Key, observations: Array, max_rows: int) -> Array:
    """At most max_rows rows of observations [M, D], drawn without replacement; all if M is less."""
    num_rows = observations.shape[0]
    if num_rows <= max_rows:
        return observations
    return observations[jax.random.choice(key, num_rows, (max_rows,), replace=False)]
