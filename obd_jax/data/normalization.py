"""Mean and scale of observations."""

import jax.numpy as jnp
import numpy as np

from obd_jax.types import InvalidInputError, Normalizer

_CHUNK = 65_536

# A column varies only by rounding if its deviation is below this share of its magnitude.
_RELATIVE_TOLERANCE = 4 * float(np.finfo(np.float32).eps)


def normalizer(observations: np.ndarray, epsilon: float = 1e-3) -> Normalizer:
    """Normaliser with the mean and the population standard deviation + epsilon of each column.

    The convention is that of OBD (Lei et al. 2024, arXiv 2410.22728), except that a constant column
    gets scale 1, or its magnitude if that is larger. Divided by epsilon, the smallest deviation
    from the constant would dominate all other columns.

    Args:
        observations: [M, D] finite, raw units.
        epsilon: added to the standard deviation, raw units.

    Returns:
        Mean and scale, [D] float32.

    Raises:
        InvalidInputError: not a matrix with at least one row.
    """
    mean, deviation, magnitude = _moments(observations)
    constant = _is_constant(deviation, magnitude)
    scale = np.where(constant, np.maximum(1.0, magnitude), deviation + epsilon)
    return Normalizer(jnp.asarray(mean, jnp.float32), jnp.asarray(scale, jnp.float32))


def constant_columns(observations: np.ndarray) -> np.ndarray:
    """Indices [columns] int64 of the columns of [M, D] that vary at most by float32 rounding."""
    _, deviation, magnitude = _moments(observations)
    return np.flatnonzero(_is_constant(deviation, magnitude))


def _is_constant(deviation, magnitude):
    return deviation <= _RELATIVE_TOLERANCE * magnitude


def _moments(observations):
    """Mean, population standard deviation and largest magnitude of each column: [D] float64.

    Two passes in float64, so that a large offset does not swamp a small deviation, and in
    chunks, so that no float64 copy of the data is made.
    """
    observations = np.asarray(observations)
    if observations.ndim != 2 or len(observations) == 0:
        raise InvalidInputError(
            f"observations have shape {observations.shape}; [M, D] with M at least 1 is needed"
        )
    rows, columns = observations.shape
    total, magnitude, squares = np.zeros(columns), np.zeros(columns), np.zeros(columns)
    for start in range(0, rows, _CHUNK):
        chunk = observations[start : start + _CHUNK].astype(np.float64)
        total += chunk.sum(axis=0)
        magnitude = np.maximum(magnitude, np.abs(chunk).max(axis=0))
    mean = total / rows
    for start in range(0, rows, _CHUNK):
        chunk = observations[start : start + _CHUNK].astype(np.float64)
        squares += np.square(chunk - mean).sum(axis=0)
    return mean, np.sqrt(squares / rows), magnitude
