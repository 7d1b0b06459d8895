"""Arrays of recorded behaviour -> checked transitions in D4RL's q-learning form."""

import hashlib
from typing import Any

import numpy as np

from obd_jax.environments import MAX_EPISODE_STEPS
from obd_jax.types import InvalidInputError, OfflineData, Provenance

# Rounding that recorded actions may show beyond the bounds [-1, 1].
_ACTION_TOLERANCE = 1e-6


def from_arrays(
    observations: Any,
    actions: Any,
    rewards: Any = None,
    next_observations: Any = None,
    terminals: Any = None,
    timeouts: Any = None,
) -> OfflineData:
    """Offline data from arrays in memory, one row per environment step in the order recorded.

    Without `next_observations` the rows follow the q-learning form of D4RL
    (`d4rl.qlearning_dataset`): the next observation is the following row, so a row that
    timed out is dropped, and so is the last one. With `next_observations` every row is a
    transition of its own and is kept.

    Args:
        observations: [rows, D] finite.
        actions: [rows, A] finite, within [-1, 1].
        rewards: [rows] or [rows, 1] finite; None: zeros, and `episode_returns` is empty.
        next_observations: [rows, D] finite, or None.
        terminals: [rows] or [rows, 1], non-zero where the environment ended; None: nowhere.
        timeouts: the same, where time ran out; None: after every 1000 steps without a terminal.

    Returns:
        The transitions; `provenance.sha256` is over the names, types, shapes and bytes given.

    Raises:
        InvalidInputError: wrong ranks or lengths, values that are not finite or not numbers,
            actions out of bounds, or fewer than two transitions.
    """
    given = {
        "observations": observations,
        "actions": actions,
        "rewards": rewards,
        "next_observations": next_observations,
        "terminals": terminals,
        "timeouts": timeouts,
    }
    try:
        fields = {name: np.asarray(value) for name, value in given.items() if value is not None}
    except ValueError as error:
        raise InvalidInputError(f"arrays: not rectangular: {error}") from error
    provenance = Provenance(source="arrays", name="arrays", sha256=_sha256(fields))
    return q_learning_data(fields, provenance)


def q_learning_data(fields: dict[str, np.ndarray], provenance: Provenance) -> OfflineData:
    """Checks named arrays and arranges them as transitions (rules and errors of `from_arrays`)."""
    where = provenance.name
    observations = _matrix(fields, "observations", where)
    actions = _matrix(fields, "actions", where)
    rows = len(observations)
    lengths = {name: np.shape(value)[0] for name, value in fields.items() if np.ndim(value) > 0}
    if set(lengths.values()) != {rows}:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InvalidInputError(f"{where}: arrays differ in length: {listed}")
    if rows < 2:
        raise InvalidInputError(f"{where}: {rows} rows; at least two are needed")
    _check_bounds(actions, where)

    nowhere = np.zeros(rows, bool)
    terminals = _flags(fields, "terminals", where) if "terminals" in fields else nowhere
    timed = "timeouts" in fields
    timeouts = _flags(fields, "timeouts", where) if timed else _time_limit(terminals)
    starts, ends = _episodes(terminals | timeouts)

    if "rewards" in fields:
        rewards = _vector(fields, "rewards", where)
        episode_returns = np.add.reduceat(rewards.astype(np.float64), starts)[: len(ends)]
    else:
        rewards, episode_returns = np.zeros(rows, np.float32), np.zeros(0)

    if "next_observations" in fields:
        next_observations = _matrix(fields, "next_observations", where)
        if next_observations.shape != observations.shape:
            raise InvalidInputError(
                f"{where}: next_observations have shape {next_observations.shape}, "
                f"observations {observations.shape}; they must agree"
            )
        kept = np.arange(rows)
    else:
        kept = np.flatnonzero(~timeouts[:-1])
        next_observations = observations[1:]
    if len(kept) < 2:
        raise InvalidInputError(
            f"{where}: {len(kept)} transitions are left of {rows} rows; at least two are needed"
        )
    # Where each episode begins among the rows kept; an episode that lost all its rows has gone.
    kept_starts = np.unique(np.searchsorted(kept, starts))
    return OfflineData(
        observations=observations[kept],
        actions=actions[kept],
        rewards=rewards[kept].astype(np.float32),
        next_observations=next_observations[kept],
        terminals=terminals[kept],
        episode_starts=kept_starts[kept_starts < len(kept)].astype(np.int64),
        episode_returns=episode_returns,
        provenance=provenance,
    )


def _time_limit(terminals):
    """Timeouts implied by the time limit: [rows] bool.

    D4RL's own counter starts at one instead of zero after a terminal. That would cut those
    episodes at step 999 and join step 1000 to the next episode, so it is not reproduced.
    """
    rows = np.arange(len(terminals))
    starts = np.concatenate([[True], terminals[:-1]])
    steps = rows - np.maximum.accumulate(np.where(starts, rows, 0))
    return steps % MAX_EPISODE_STEPS == MAX_EPISODE_STEPS - 1


def _episodes(final):
    """Final rows [rows] bool -> first row of every episode, last row of every complete one."""
    ends = np.flatnonzero(final)
    starts = np.concatenate([[0], ends + 1])
    return starts[starts < len(final)], ends


def _matrix(fields, name, where):
    """Field `name` as finite float32 [rows, columns]."""
    array = _numbers(fields, name, where)
    if array.ndim != 2 or array.shape[1] == 0:
        raise InvalidInputError(
            f"{where}: {name} have shape {array.shape}; [rows, columns] is needed"
        )
    with np.errstate(over="ignore"):  # What overflows is refused as infinite.
        array = array.astype(np.float32, copy=False)
    _check_finite(array, name, where)
    return array


def _vector(fields, name, where):
    """Field `name` as finite numbers [rows], in the type given."""
    array = _numbers(fields, name, where)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise InvalidInputError(
            f"{where}: {name} have shape {array.shape}; [rows] or [rows, 1] is needed"
        )
    _check_finite(array, name, where)
    return array


def _flags(fields, name, where):
    """Field `name` as bool [rows]."""
    return _vector(fields, name, where) != 0


def _numbers(fields, name, where):
    """Field `name` as an array of real numbers."""
    array = fields[name]
    if array.dtype.kind not in "fiub":
        raise InvalidInputError(f"{where}: {name} have type {array.dtype}; numbers are needed")
    return array


def _check_finite(array, name, where):
    """Refuses NaN and infinity, and says how many rows hold one and which is the first."""
    finite = np.isfinite(array).all(axis=tuple(range(1, array.ndim)))
    if not finite.all():
        raise InvalidInputError(
            f"{where}: {name} are NaN or infinite in {np.count_nonzero(~finite)} of {len(finite)} "
            f"rows, first in row {np.argmin(finite)}"
        )


def _check_bounds(actions, where):
    """Refuses actions outside [-1, 1]."""
    low, high = actions.min(), actions.max()
    if low < -1 - _ACTION_TOLERANCE or high > 1 + _ACTION_TOLERANCE:
        raise InvalidInputError(
            f"{where}: actions range from {low:.6g} to {high:.6g}; they must lie in [-1, 1]"
        )


def _sha256(fields):
    """Hash over what was given: names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name, array in fields.items():
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
