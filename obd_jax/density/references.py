"""The reference states that kernel and nearest-neighbour estimators compare with."""

import jax
import jax.numpy as jnp
import numpy as np

from obd_jax.types import Array, Key


def random_rows(key: Key, observations: Array, max_rows: int) -> Array:
    """At most max_rows rows of observations [M, D], drawn without replacement; all if M is less."""
    num_rows = observations.shape[0]
    if num_rows <= max_rows:
        return observations
    return observations[jax.random.choice(key, num_rows, (max_rows,), replace=False)]


def fingerprints(observations: Array) -> Array:
    """A number for each row of observations [M, D], by its bits: [M] uint32.

    Equal rows have the same one, on any device and in any program; of others, one pair in 2^32
    has. By it an estimator knows its own references, which it leaves out: a state that counts
    itself would be dense wherever it is.
    """
    if observations.dtype not in (jnp.float32, jnp.float64):
        observations = observations.astype(jnp.float32)
    words = jax.lax.bitcast_convert_type(observations, jnp.uint32)
    words = words.reshape(observations.shape[0], -1)
    columns = np.arange(1, words.shape[1] + 1, dtype=np.uint32) * np.uint32(0x9E3779B9)
    return jnp.sum(_mixed(words ^ columns[None, :]), axis=1, dtype=jnp.uint32)


def _mixed(words: Array) -> Array:
    """The 32 bits of every word spread over all 32 (the finaliser of MurmurHash3)."""
    words = (words ^ (words >> 16)) * np.uint32(0x85EBCA6B)
    words = (words ^ (words >> 13)) * np.uint32(0xC2B2AE35)
    return words ^ (words >> 16)
