"""State densities: models, the fit loop, and weights that fall with the density."""

import functools
from collections.abc import Callable

from obd_jax.density.fit import chosen, fit, log_prob_chunked, robust_mean
from obd_jax.density.gaussian import gaussian
from obd_jax.density.kde import kde
from obd_jax.density.knn import knn
from obd_jax.density.maf import maf
from obd_jax.density.settings import DensitySettings
from obd_jax.density.weights import DensityWeights, reciprocal_weights
from obd_jax.types import DensityEstimator, InvalidInputError

DENSITIES: dict[str, Callable[..., DensityEstimator]] = {
    "gaussian": gaussian,
    "kde": kde,
    "knn": knn,
    "maf": maf,
}


@functools.cache
def make(name: str) -> DensityEstimator:
    """The density estimator of that name, with its default settings.

    The same record every time, so that fits of the same shape are compiled once.

    Raises:
        InvalidInputError: no estimator has that name.
    """
    if name not in DENSITIES:
        raise InvalidInputError(f"unknown density {name!r}; known: {', '.join(DENSITIES)}")
    return DENSITIES[name]()


__all__ = [
    "DENSITIES",
    "DensitySettings",
    "DensityWeights",
    "chosen",
    "fit",
    "gaussian",
    "kde",
    "knn",
    "log_prob_chunked",
    "maf",
    "make",
    "reciprocal_weights",
    "robust_mean",
]
