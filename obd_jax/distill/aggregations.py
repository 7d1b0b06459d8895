"""How the losses of several students become the one that a step lowers."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from obd_jax.types import Array, InvalidInputError

# Losses [L], each times its weight -> [].
Aggregation = Callable[[Array], Array]


def log_sum_exp(temperature: Array | float) -> Aggregation:
    """Between the mean (temperature large) and the largest loss (small), never below the mean.

    temperature * log(mean(exp(losses / temperature))): a loss has the weight softmax(losses /
    temperature) in the gradient, so the student with by far the largest loss dominates.

    Args:
        temperature: positive, in units of the losses; may be traced.
    """

    def aggregate(losses: Array) -> Array:
        total = jax.scipy.special.logsumexp(losses / temperature)
        return temperature * (total - jnp.log(losses.shape[0]))

    return aggregate


_PLAIN: dict[str, Aggregation] = {"sum": jnp.sum, "mean": jnp.mean, "worst": jnp.max}
AGGREGATIONS = (*_PLAIN, "log_sum_exp")


def make_aggregation(name: str, temperature: float | None = None) -> Aggregation:
    """Aggregation by name.

    Args:
        name: one of `AGGREGATIONS`; "worst" is the largest.
        temperature: of "log_sum_exp", which alone has one.

    Raises:
        InvalidInputError: an unknown name, or a temperature absent, not positive or of no use.
    """
    if name not in AGGREGATIONS:
        raise InvalidInputError(f"unknown aggregation {name!r}; known: {', '.join(AGGREGATIONS)}")
    if name != "log_sum_exp":
        if temperature is not None:
            raise InvalidInputError(f"{name!r} has no temperature, got {temperature}")
        return _PLAIN[name]
    if temperature is None or not temperature > 0:
        raise InvalidInputError(f"log_sum_exp needs a positive temperature, got {temperature}")
    return log_sum_exp(temperature)
