"""Offline data: by name, from files or arrays; normalisation."""

from obd_jax.data.arrays import from_arrays
from obd_jax.data.best import best_episodes
from obd_jax.data.cache import default_cache
from obd_jax.data.files import load_file
from obd_jax.data.holdout import hold_out
from obd_jax.data.normalization import constant_columns, normalizer
from obd_jax.data.sources import FIRST_ROWS, SOURCES, DataSettings, load, resolve

__all__ = [
    "FIRST_ROWS",
    "SOURCES",
    "DataSettings",
    "best_episodes",
    "constant_columns",
    "default_cache",
    "from_arrays",
    "hold_out",
    "load",
    "load_file",
    "normalizer",
    "resolve",
]
