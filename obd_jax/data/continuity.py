"""Whether rows follow each other: jumps inside episodes, next observations that lead elsewhere."""

import numpy as np

_CHUNK = 65_536

# Transitions that the usual step is learned from, and how many for each column at least.
_SAMPLE, _FEWEST = 100_000, 20

# A jump has this many times the error that all but a hundredth of the steps stay below, in the mean
# square over columns, of which none counts for more than _CAP: a quarter of them at least. None is
# found inside episodes of embedded data, fifteen kinds of 40,000 rows each.
_JUMP, _CAP = 4.0, 8.0

# What rounding may change, as a share of a column's largest magnitude.
_ROUNDING = 1e-5


def jumps(observations: np.ndarray, actions: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Rows after which the observation jumps though no episode ends, [jumps] int64.

    The following observation is compared with what a linear model of one step predicts. Ends that
    are missing are found where episodes are long and start far from where they end: those of hopper
    and walker2d, not those of halfcheetah.

    Args:
        observations: [rows, D].
        actions: [rows, A].
        ends: [rows] bool, last rows of episodes.
    """
    inside = np.flatnonzero(~ends[:-1])
    mean = observations.mean(axis=0, dtype=np.float64)
    moving = np.ptp(observations, axis=0) > _ROUNDING * np.abs(observations).max(axis=0)
    if not moving.any() or len(inside) < _FEWEST * (moving.sum() + actions.shape[1] + 1):
        return np.zeros(0, np.int64)

    def step(rows):
        states = observations[rows][:, moving] - mean[moving]
        following = observations[rows + 1][:, moving] - mean[moving]
        return np.concatenate([states, actions[rows], np.ones((len(rows), 1))], 1), following

    inputs, following = step(inside[:: -(-len(inside) // _SAMPLE)])
    model, *_ = np.linalg.lstsq(inputs, following, rcond=None)
    usual = np.quantile(np.abs(following - inputs @ model), 0.99, axis=0)
    usual = np.maximum(usual, _ROUNDING * np.abs(following).max(axis=0))
    found = []
    for start in range(0, len(inside), _CHUNK):
        rows = inside[start : start + _CHUNK]
        inputs, following = step(rows)
        errors = np.minimum(np.abs(following - inputs @ model) / usual, _CAP)
        found.append(rows[np.sqrt(np.square(errors).mean(axis=1)) > _JUMP])
    return np.concatenate(found)


def breaks(observations: np.ndarray, next_observations: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Rows inside episodes whose next observation is not the following row, [breaks] int64.

    Args:
        observations: [rows, D].
        next_observations: [rows, D].
        ends: [rows] bool, last rows of episodes.
    """
    tolerance = _ROUNDING * np.abs(observations).max(axis=0)
    inside = np.flatnonzero(~ends[:-1])
    found = []
    for start in range(0, len(inside), _CHUNK):
        rows = inside[start : start + _CHUNK]
        apart = np.abs(next_observations[rows] - observations[rows + 1]) > tolerance
        found.append(rows[apart.any(axis=1)])
    return np.concatenate([*found, np.zeros(0, np.int64)])


def unrelated(observations: np.ndarray, next_observations: np.ndarray, ends: np.ndarray) -> bool:
    """Whether following rows are as far from next observations as any rows are, so out of order.

    Args:
        observations: [rows, D].
        next_observations: [rows, D].
        ends: [rows] bool, last rows of episodes.
    """
    inside = np.flatnonzero(~ends[:-1])
    rows = inside[:: -(-len(inside) // _SAMPLE)]
    spread = np.ptp(observations, axis=0)
    scale = np.where(spread > 0, spread, 1)

    def distance(others):
        apart = (next_observations[rows] - observations[others]) / scale
        return np.median(np.square(apart, dtype=np.float64).mean(axis=1))

    generator = np.random.default_rng(0)
    return bool(distance(rows + 1) > distance(generator.permutation(rows)) / 2)
