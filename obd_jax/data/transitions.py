"""Named arrays -> checked transitions in D4RL's q-learning form."""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from obd_jax.data.episodes import time_limit
from obd_jax.types import InvalidInputError, OfflineData, Provenance

Fields = Mapping[str, np.ndarray]


def q_learning_data(fields: Fields, provenance: Provenance, in_order: bool = True) -> OfflineData:
    """Checks named arrays and arranges them as transitions (rules and errors of `from_arrays`).

    Of flags it reads `terminals` and `timeouts` as they are, and actions too, which may be of any
    units (`in_bounds`). Without `in_order` the returns of episodes are not known.
    """
    where = provenance.name
    observations, actions = checked(fields, where)
    rows = len(observations)
    nowhere = np.zeros(rows, bool)
    terminals = _flags(fields, "terminals", where) if "terminals" in fields else nowhere
    timed = "timeouts" in fields
    timeouts = _flags(fields, "timeouts", where) if timed else time_limit(terminals)
    starts, ends = _episodes(terminals | timeouts)

    rewards, episode_returns = np.zeros(rows, np.float32), np.zeros(0)
    if "rewards" in fields:
        rewards = vector_of(fields, "rewards", where)
        if in_order:
            episode_returns = np.add.reduceat(rewards.astype(np.float64), starts)[: len(ends)]

    if "next_observations" in fields:
        next_observations = next_observations_of(fields, where)
        kept = np.arange(rows)
    else:
        kept = np.flatnonzero(~timeouts[:-1])
        next_observations = observations[1:]
    next_actions = actions
    if in_order:
        next_actions = np.append(actions[1:], actions[-1:], axis=0)
        next_actions[ends] = actions[ends]
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
        next_actions=next_actions[kept],
        terminals=terminals[kept],
        episode_starts=kept_starts[kept_starts < len(kept)].astype(np.int64),
        episode_returns=episode_returns,
        provenance=provenance,
    )


def select(data: OfflineData, rows: Any, starts: np.ndarray, returns: np.ndarray) -> OfflineData:
    """Some transitions of the data, in their order.

    Args:
        data: M transitions.
        rows: their indices, a slice or [M] bool.
        starts: the first row of every episode among those chosen.
        returns: of the complete episodes among them.
    """
    chosen = {
        name: getattr(data, name)[rows]
        for name in (
            "observations",
            "actions",
            "rewards",
            "next_observations",
            "next_actions",
            "terminals",
        )
    }
    return dataclasses.replace(data, **chosen, episode_starts=starts, episode_returns=returns)


def checked(fields: Fields, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Observations and actions, of the length of all other fields."""
    observations = _matrix(fields, "observations", where)
    actions = _matrix(fields, "actions", where)
    rows = len(observations)
    lengths = {name: np.shape(value)[0] for name, value in fields.items() if np.ndim(value) > 0}
    if set(lengths.values()) != {rows}:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InvalidInputError(f"{where}: arrays differ in length: {listed}")
    if rows < 2:
        raise InvalidInputError(f"{where}: {rows} rows; at least two are needed")
    return observations, actions


def next_observations_of(fields: Fields, where: str) -> np.ndarray:
    """Next observations, of the shape of observations."""
    following = _matrix(fields, "next_observations", where)
    shape = np.shape(fields["observations"])
    if following.shape != shape:
        raise InvalidInputError(
            f"{where}: next_observations have shape {following.shape}, observations {shape}; "
            "they must agree"
        )
    return following


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


def vector_of(fields: Fields, name: str, where: str) -> np.ndarray:
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
    return vector_of(fields, name, where) != 0


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


def sha256_of(fields: Fields) -> str:
    """Hash over arrays: names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name, array in fields.items():
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
