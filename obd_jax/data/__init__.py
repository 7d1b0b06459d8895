"""Offline data: sources, normalisation, tasks and their reference returns."""

from obd_jax.data.arrays import MAX_EPISODE_STEPS, from_arrays
from obd_jax.data.d4rl import load_hdf5
from obd_jax.data.environments import (
    EnvironmentSpec,
    FunctionalEnvironment,
    environment,
    environment_of,
    normalized_score,
)
from obd_jax.data.local import default_folder, find_file
from obd_jax.data.normalization import constant_columns, normalizer

__all__ = [
    "MAX_EPISODE_STEPS",
    "EnvironmentSpec",
    "FunctionalEnvironment",
    "constant_columns",
    "default_folder",
    "environment",
    "environment_of",
    "find_file",
    "from_arrays",
    "load_hdf5",
    "normalized_score",
    "normalizer",
]
