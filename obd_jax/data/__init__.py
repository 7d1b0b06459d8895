"""Offline data: by name, from files or arrays; normalisation."""

from obd_jax.data.arrays import from_arrays
from obd_jax.data.best import best_episodes
from obd_jax.data.cache import default_cache, locked, sha256
from obd_jax.data.d4rl import default_folder
from obd_jax.data.embedded import Part, embedded_parts, embedded_rows
from obd_jax.data.files import load_file, load_hdf5, load_npz
from obd_jax.data.normalization import constant_columns, normalizer
from obd_jax.data.sources import SOURCES, load

__all__ = [
    "SOURCES",
    "Part",
    "best_episodes",
    "constant_columns",
    "default_cache",
    "default_folder",
    "embedded_parts",
    "embedded_rows",
    "from_arrays",
    "load",
    "load_file",
    "load_hdf5",
    "load_npz",
    "locked",
    "normalizer",
    "sha256",
]
