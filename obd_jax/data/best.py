"""The best episodes of a data set."""

import dataclasses

import numpy as np

from obd_jax.types import InvalidInputError, OfflineData


def best_rows(data: OfflineData, share: float) -> np.ndarray:
    """Rows of the best episodes, as %BC takes them (Chen et al. 2021, arXiv 2106.01345).

    Args:
        data: M transitions with rewards; an episode without an end counts with what it has.
        share: of the transitions, in (0, 1].

    Returns:
        [share M], at least one, in the order of the data. The last episode that is taken may be
        cut at its end; of equal returns the first episode is taken.

    Raises:
        InvalidInputError: a share out of range, or data without rewards.
    """
    if not 0 < share <= 1:
        raise InvalidInputError(f"share of the states must be in (0, 1], got {share}")
    if not data.rewards.any():
        raise InvalidInputError(
            f"{data.provenance.name}: all rewards are 0, so no episode is better than another"
        )
    starts, rows = data.episode_starts, len(data)
    ends = np.append(starts[1:], rows)
    returns = np.add.reduceat(data.rewards.astype(np.float64), starts)
    best_first = np.argsort(-returns, kind="stable")
    taken = np.concatenate([np.arange(starts[e], ends[e]) for e in best_first])
    return np.sort(taken[: max(1, round(share * rows))])


def best_episodes(data: OfflineData, share: float) -> OfflineData:
    """The transitions of `best_rows`, with its arguments and errors, as data of their own.

    Returns:
        Episodes in the order of the data; `episode_returns` are those of the rows that are left.
    """
    rows = best_rows(data, share)
    step = data.episode_steps[rows]
    starts = np.flatnonzero(step == 0)
    rewards = data.rewards[rows]
    return dataclasses.replace(
        data,
        observations=data.observations[rows],
        actions=data.actions[rows],
        rewards=rewards,
        next_observations=data.next_observations[rows],
        terminals=data.terminals[rows],
        episode_starts=starts,
        episode_returns=np.add.reduceat(rewards.astype(np.float64), starts),
    )
