"""Arrays of recorded behaviour -> transitions; what looks wrong in them is said."""

from typing import Any, NamedTuple

import numpy as np

from obd_jax.data.bounds import in_bounds
from obd_jax.data.continuity import breaks, jumps, unrelated
from obd_jax.data.episodes import FLAGS, Ends, Note, check_ends, read_ends, time_limit
from obd_jax.data.transitions import (
    Fields,
    checked,
    next_observations_of,
    q_learning_data,
    sha256_of,
    vector_of,
)
from obd_jax.reporting import warn
from obd_jax.types import ActionBounds, InvalidInputError, OfflineData, Provenance


def from_arrays(
    observations: Any,
    actions: Any,
    rewards: Any = None,
    next_observations: Any = None,
    terminals: Any = None,
    timeouts: Any = None,
    *,
    action_bounds: ActionBounds | None = None,
    note: Note = warn,
) -> OfflineData:
    """Offline data from arrays in memory, one row per environment step in the order recorded.

    Without `next_observations` the rows follow the q-learning form of D4RL
    (`d4rl.qlearning_dataset`): the next observation is the following row, so a row that
    timed out is dropped, and so is the last one. With `next_observations` every row is a
    transition of its own and is kept.

    Suspicious data are reported with counts and the first row: terminals that look like time limits
    (at step 1000 and without timeouts they are read as time limits), missing ends of episodes,
    jumps of the observations inside episodes, rows that are not in order.

    Args:
        observations: [rows, D] finite.
        actions: [rows, A] finite, within the bounds.
        rewards: [rows] or [rows, 1] finite; None: zeros, and `episode_returns` is empty.
        next_observations: [rows, D] finite, or None.
        terminals: [rows] or [rows, 1], non-zero where the environment ended; None: nowhere.
        timeouts: the same, where time ran out; None: after every 1000 steps without a terminal.
        action_bounds: of the actions given, which are then rescaled to [-1, 1]; None: [-1, 1].
        note: called with a line for each suspicious finding; by default a Python warning.

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
    provenance = Provenance(source="arrays", name="arrays", sha256=sha256_of(fields))
    return in_bounds(recorded_data(fields, provenance, note), action_bounds, note)


class Rows(NamedTuple):
    """A recording whose ends of episodes are known.

    fields:   arrays by the names of `from_arrays` but for flags, rows left out that are no part
              of an episode.
    ends:     where episodes end; timeouts are there.
    kept:     [rows of the recording] bool, those that are in `fields`; None: all.
    in_order: whether rows follow each other; else episodes are not known.
    """

    fields: dict[str, np.ndarray]
    ends: Ends
    kept: np.ndarray | None
    in_order: bool


def read_rows(fields: Fields, where: str, note: Note) -> Rows:
    """Reads where episodes of any recording end, and says what looks wrong.

    Args:
        fields: arrays by the names of `from_arrays`, with flags of any of the names `FLAGS`.
        where: what the data are called.
        note: gets a line on what looks wrong.

    Returns:
        The transitions, actions as recorded.

    Raises:
        InvalidInputError: as of `from_arrays`.
    """
    observations, actions = checked(fields, where)
    flags = {name: vector_of(fields, name, where) for name in FLAGS if name in fields}
    with_next = "next_observations" in fields
    ends = read_ends(flags, len(observations), with_next, where, note)
    kept = ends.kept
    rows = {name: array for name, array in fields.items() if name not in FLAGS}
    if kept is not None:
        rows = {name: array[kept] for name, array in rows.items()}
        assert ends.timeouts is not None
        ends = Ends(ends.terminals[kept], ends.timeouts[kept])
        observations, actions = checked(rows, where)
    in_order = True
    if with_next:
        following = next_observations_of(rows, where)
        ends, in_order = _follow(ends, observations, following, where, note)
    if in_order:
        ends = check_ends(ends, where, note, "rewards" in rows)
    assert ends.timeouts is not None
    if in_order and not with_next:
        found = jumps(observations, actions, ends.terminals | ends.timeouts)
        if len(found):
            note(
                f"{where}: the observation jumps {len(found)} times inside an episode, first "
                f"after {_rows(found)}: are ends of episodes missing?"
            )
    return Rows(rows, ends, kept, in_order)


def transitions_of(rows: Rows, provenance: Provenance) -> OfflineData:
    """Transitions of a recording whose ends of episodes are known."""
    assert rows.ends.timeouts is not None
    flags = {"terminals": rows.ends.terminals, "timeouts": rows.ends.timeouts}
    return q_learning_data({**rows.fields, **flags}, provenance, rows.in_order)


def recorded_data(fields: Fields, provenance: Provenance, note: Note) -> OfflineData:
    """Transitions of any recording: `read_rows`, arranged."""
    return transitions_of(read_rows(fields, provenance.name, note), provenance)


def _follow(
    ends: Ends, observations: np.ndarray, following: np.ndarray, where: str, note: Note
) -> tuple[Ends, bool]:
    """Ends, those included that next observations show, and whether rows are in order."""
    final = ends.terminals if ends.timeouts is None else ends.terminals | ends.timeouts
    found = breaks(observations, following, final)
    if not len(found):
        return ends, True
    still = (following == observations).all(axis=1).sum()
    inside = np.count_nonzero(~final[:-1])
    if len(found) > inside / 2:
        apart = unrelated(observations, following, final)
        note(
            f"{where}: next_observations are not the following row in {len(found)} of {inside} rows"
            + (f", and equal observations in {still}" if still > inside / 2 else "")
            + (
                ": rows are single transitions out of order, so their episodes are unknown"
                if apart
                else ", but near it: rows are in order, and next_observations are used as they are"
            )
        )
        if not apart:
            return ends, True
        return Ends(ends.terminals, ~ends.terminals), False
    note(
        f"{where}: next_observations are not the following row in {len(found)} rows inside "
        f"episodes, first in {_rows(found)}: these are read as timeouts"
    )
    timeouts = np.isin(np.arange(len(final)), found)
    if ends.timeouts is None:
        # The time limit is a guess, which counts from these ends.
        timeouts |= time_limit(ends.terminals | timeouts) & ~ends.terminals
    else:
        timeouts |= ends.timeouts
    return Ends(ends.terminals, timeouts), True


def _rows(found: np.ndarray) -> str:
    """Rows as text, the first three."""
    several = len(found) > 1
    shown = ", ".join(map(str, found[:3])) + (" ..." if len(found) > 3 else "")
    return f"{'rows' if several else 'row'} {shown}"
