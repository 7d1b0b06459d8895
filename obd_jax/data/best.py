"""The good episodes of a data set."""

import numpy as np

from obd_jax.data.transitions import select
from obd_jax.types import InvalidInputError, OfflineData


def best_episodes(data: OfflineData, least: float) -> OfflineData:
    """The episodes whose return is at least a share of the best episode's.

    The share is counted from 0 to the best return; if no return is positive, from the worst to the
    best.

    Data of a learning policy, or of several policies, contain states that a good policy does not
    visit; these are left out. Data of good policies keep all states. A simpler rule, a fixed share
    of the states, is that of %BC (Chen et al. 2021, arXiv 2106.01345).

    Args:
        data: M transitions; an episode without an end has the return of its recorded part.
        least: the share, in [0, 1].

    Returns:
        Whole episodes, in the order of the data; `episode_returns` are those of their rows.

    Raises:
        InvalidInputError: a share out of range, or there are no rewards.
    """
    if not 0 <= least <= 1:
        raise InvalidInputError(f"share of the best return must be in [0, 1], got {least}")
    if not data.rewards.any():
        raise InvalidInputError(
            f"{data.provenance.name}: all rewards are 0, so no episode is better than another"
        )
    starts = data.episode_starts
    returns = np.add.reduceat(data.rewards.astype(np.float64), starts)
    best = returns.max()
    zero = 0.0 if best > 0 else returns.min()
    good = returns >= zero + least * (best - zero)
    lengths = np.diff(starts, append=len(data))
    rows = np.repeat(good, lengths)
    return select(data, rows, np.append(0, np.cumsum(lengths[good])[:-1]), returns[good])
