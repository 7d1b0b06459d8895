"""What a reader takes from a file, before it is checked and arranged as transitions."""

import pathlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from obd_jax.data.episodes import ENDS, MASKS, TERMINALS
from obd_jax.data.transitions import Fields
from obd_jax.types import InvalidInputError


class Recording(NamedTuple):
    """Arrays of a recording by name.

    layout:            how they were stored, as provenance names it: "robomimic hdf5".
    fields:            arrays by the names of `from_arrays` and of `FLAGS`.
    sources:           field -> what it is called in the file.
    files:             files that were read.
    others:            names of what else is there and not read.
    remarks:           lines on how the layout was read.
    by_episode:        whether it says which rows form an episode, so that the last row is an end.
    environment:       Gymnasium's id of the task, where the file names it.
    reference_returns: those that score 0 and 100 in the task, where the file names them.
    """

    layout: str
    fields: Fields
    sources: dict[str, str]
    files: list[pathlib.Path]
    others: Sequence[str] = ()
    remarks: Sequence[str] = ()
    by_episode: bool = False
    environment: str | None = None
    reference_returns: tuple[float, float] | None = None


def joined(episodes: Iterable[tuple[str, Fields]]) -> dict[str, np.ndarray]:
    """Fields of all episodes, one after the other.

    An episode of T actions has T observations, or T + 1 of which each is the next one of the row
    before. The last row of an episode is a timeout unless its flags call it a terminal.

    Args:
        episodes: (name for errors, arrays by field) each, at least one.

    Raises:
        InvalidInputError: episodes differ in fields or columns, or arrays of one in length.
    """
    parts: dict[str, list[np.ndarray]] = {}
    counts: list[int] = []
    first, columns = "", dict[str, tuple[int, ...]]()
    for name, episode in episodes:
        fields = _with_next(episode)
        lengths = {np.shape(array)[:1] for array in fields.values()}
        if len(lengths) > 1 or () in lengths:
            found = ", ".join(f"{field} {np.shape(array)}" for field, array in episode.items())
            raise InvalidInputError(f"{name}: arrays differ in length: {found}")
        shapes = {field: array.shape[1:] for field, array in fields.items()}
        if not counts:
            first, columns = name, shapes
        if shapes != columns:
            raise InvalidInputError(
                f"{name} has {_shapes(shapes)}, but {first} has {_shapes(columns)}"
            )
        for field, array in fields.items():
            parts.setdefault(field, []).append(array)
        counts.append(len(fields["actions"]))
    fields = {field: np.concatenate(arrays) for field, arrays in parts.items()}
    return with_ends(fields, np.repeat(np.arange(len(counts)), counts))


def _with_next(episode: Fields) -> dict[str, np.ndarray]:
    """An episode of T rows, with next observations if it has T + 1 observations."""
    observations, actions = episode["observations"], episode["actions"]
    if actions.ndim == 0 or len(observations) != len(actions) + 1:
        return dict(episode)
    return {**episode, "observations": observations[:-1], "next_observations": observations[1:]}


def _shapes(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{field} [rows{''.join(f', {n}' for n in s)}]" for field, s in shapes.items())


def with_ends(fields: Fields, episodes: np.ndarray) -> dict[str, np.ndarray]:
    """Fields with timeouts at the last rows of episodes, where no flag calls them terminals.

    Args:
        fields: arrays by field.
        episodes: [rows] number of the episode of every row, the same for rows that follow.
    """
    last = np.append(episodes[1:] != episodes[:-1], True)
    terminal = np.zeros(len(last), bool)
    for name in (*TERMINALS, *ENDS, MASKS):
        if name in fields:
            terminal |= (fields[name].reshape(len(last)) != 0) != (name == MASKS)
    timeouts = last & ~terminal
    if "timeouts" in fields:
        timeouts |= fields["timeouts"].reshape(len(last)) != 0
    return {**fields, "timeouts": timeouts}


def closed(fields: Fields) -> Fields:
    """Fields with a row behind the last, so that a terminal there is a transition.

    Without next observations the last row of a recording is dropped, because it cannot be known
    to end an episode. Where that is known, a row that is never used takes its place.
    """
    if "next_observations" in fields or fields["timeouts"][-1]:
        return fields
    fields = {field: np.concatenate([array, array[-1:]]) for field, array in fields.items()}
    for name in (*TERMINALS, *ENDS, "timeouts"):
        if name in fields:
            fields[name][-1] = 0
    if MASKS in fields:
        fields[MASKS][-1] = 1
    return fields
