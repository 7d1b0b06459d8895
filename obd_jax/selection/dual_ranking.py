"""Stepwise dual ranking, a coreset of offline data."""

import numpy as np

from obd_jax.types import InvalidInputError


def dual_ranking(
    steps: np.ndarray, values: np.ndarray, log_density: np.ndarray, size: int, *, last_step: int
) -> np.ndarray:
    """Rows of early states, rare and of high value (SDR, Lei et al. 2026, arXiv 2512.18246).

    Of the states up to `last_step` of their episodes those are taken whose rank by value, from the
    highest, plus rank by density, from the lowest, is smallest. These principles are in the paper's
    abstract; the details of how it clips steps and combines ranks were not available.

    Args:
        steps: [M] of each state within its episode, from 0.
        values: [M] q* of the data's actions.
        log_density: [M] of the states, nats; -inf counts as the rarest.
        size: N.
        last_step: states of later steps are left out.

    Returns:
        [N] rows, the best first; of equal ones the first in the data.

    Raises:
        InvalidInputError: a value or density is not a number, or N is not between 1 and the
            number of early states.
    """
    from scipy.stats import rankdata  # Takes a while, and most commands rank nothing.

    early = np.flatnonzero(steps <= last_step)
    if np.isnan(values).any() or np.isnan(log_density).any():
        raise InvalidInputError("values and densities must be numbers, got nan")
    if not 1 <= size <= len(early):
        raise InvalidInputError(
            f"number of pairs must be between 1 and the {len(early)} states up to step "
            f"{last_step}, got {size}"
        )
    by_value = rankdata(-values[early])
    by_density = rankdata(log_density[early])
    return early[np.argsort(by_value + by_density, kind="stable")[:size]]
