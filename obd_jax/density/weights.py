"""Weights that fall with the state density."""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from obd_jax.types import Array, InvalidInputError


class DensityWeights(NamedTuple):
    """Weights of states and how evenly they are spread.

    weights:                 [M] non-negative, mean 1.
    effective_sample_fraction: [] (sum w)^2 / (M sum w^2), from 1 / M to 1.
    num_invalid:             [] int32, states whose density is NaN; their weight is 0.
    """

    weights: Array
    effective_sample_fraction: Array
    num_invalid: Array


def reciprocal_weights(
    log_density: Array | np.ndarray,
    temperature: float | Array,
    floor_quantile: float | Array = 0.01,
) -> DensityWeights:
    """Tempered reciprocal state density w = d^-temperature, normalised to mean 1 (SDW).

    Log densities span tens of nats, so the plain reciprocal (temperature 1) puts nearly all
    weight on one state. Two things prevent that: the temperature, and a floor under the log
    density. Pure; vmap over the temperature. The plain reciprocal is from Lei, Cheng & Tao
    2025, arXiv 2512.06692; temperature and floor are ours.

    Args:
        log_density: [M] nats. -inf counts as the floor, +inf as the largest finite value;
            NaN gets weight 0 and is counted.
        temperature: exponent, finite and not negative; 0 weighs all states equally.
        floor_quantile: the floor is this quantile of the finite log densities, in [0, 1].

    Raises:
        InvalidInputError: log_density is not [M] with M >= 1 or is NaN throughout, or
            temperature or floor_quantile is out of range (values are checked unless traced).
    """
    log_density = jnp.asarray(log_density)
    if log_density.ndim != 1 or log_density.shape[0] == 0:
        raise InvalidInputError(
            f"log_density must be [M] with M >= 1, got shape {list(log_density.shape)}"
        )
    _check_range("temperature", temperature, math.inf)
    _check_range("floor_quantile", floor_quantile, 1.0)

    valid = ~jnp.isnan(log_density)
    if not isinstance(valid, Tracer) and not bool(jnp.any(valid)):
        raise InvalidInputError("log_density is NaN for every state")

    finite = jnp.isfinite(log_density)
    # Without a single finite value, what is left is -inf or +inf: any floor and ceiling do.
    any_finite = jnp.any(finite)
    floor = jnp.nanquantile(jnp.where(finite, log_density, jnp.nan), floor_quantile)
    floor = jnp.where(any_finite, floor, 0.0)
    ceiling = jnp.max(jnp.where(finite, log_density, -jnp.inf))
    ceiling = jnp.where(any_finite, ceiling, 0.0)

    above_floor = jnp.clip(jnp.where(valid, log_density, floor), floor, ceiling) - floor
    # At most 1, so nothing overflows whatever the temperature.
    unscaled = jnp.where(valid, jnp.exp(-temperature * above_floor), 0.0)
    mean = jnp.mean(unscaled)
    weights = unscaled / jnp.where(mean > 0, mean, 1.0)
    mean_square = jnp.mean(weights**2)
    return DensityWeights(
        weights=weights,
        effective_sample_fraction=jnp.mean(weights) ** 2 / jnp.where(mean > 0, mean_square, 1.0),
        num_invalid=jnp.sum(~valid),
    )


def _check_range(name: str, value, upper: float) -> None:
    """Refuses concrete values outside [0, upper] and non-finite ones."""
    if isinstance(value, Tracer):
        return
    values = np.asarray(value)
    if not np.all(np.isfinite(values) & (values >= 0) & (values <= upper)):
        bound = "finite and not negative" if math.isinf(upper) else f"in [0, {upper:g}]"
        raise InvalidInputError(f"{name} must be {bound}, got {value}")
