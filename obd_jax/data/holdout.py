"""Episodes that are kept apart: seen by nothing that is trained, and there to judge by."""

import dataclasses
import hashlib
from collections.abc import Callable

import numpy as np

from obd_jax.data.transitions import select
from obd_jax.reporting import warn
from obd_jax.types import InvalidInputError, OfflineData

# Of fewer episodes none is spared: rows at the end are held out instead.
_FEWEST = 10


def hold_out(
    data: OfflineData, share: float, seed: int = 0, note: Callable[[str], None] = warn
) -> tuple[OfflineData, OfflineData]:
    """Splits data into a part to learn from and one to judge by.

    Args:
        data: M transitions.
        share: share of the episodes to hold out, whole ones at random; with fewer than ten
            episodes, share of the rows, taken from the end.
        seed: seed of the choice.
        note: called with a line if rows are held out in place of episodes.

    Returns:
        The remaining data and the held-out data; the hashes in their provenance are computed from
        the data's hash and the choice.

    Raises:
        InvalidInputError: a share out of (0, 1), or fewer than two transitions in a part.
    """
    if not 0 < share < 1:
        raise InvalidInputError(f"share of the episodes held out must be in (0, 1), got {share}")
    starts, rows = data.episode_starts, len(data)
    if len(starts) < _FEWEST:
        cut = rows - max(1, round(share * rows))
        note(
            f"{data.provenance.name}: {len(starts)} episodes are too few to hold out whole ones: "
            f"the last {rows - cut:,} rows are held out, which resemble the rows before"
        )
        late, none = starts[starts > cut] - cut, np.zeros(0)
        parts = (
            select(data, slice(cut), starts[starts < cut], none),
            select(data, slice(cut, None), np.append(0, late), none),
        )
    else:
        number = max(1, round(share * len(starts)))
        drawn = np.random.default_rng(seed).choice(len(starts), number, replace=False)
        held = np.isin(np.arange(len(starts)), drawn)
        parts = (_episodes(data, ~held), _episodes(data, held))
    if min(map(len, parts)) < 2:
        raise InvalidInputError(
            f"{data.provenance.name}: {share:g} of {rows} transitions held out leaves "
            f"{len(parts[0])} and {len(parts[1])}; two of each are needed"
        )
    names = f"without {share:g} held out", f"{share:g} held out"
    kept, held_out = (_renamed(part, name, seed) for part, name in zip(parts, names, strict=True))
    return kept, held_out


def _episodes(data: OfflineData, chosen: np.ndarray) -> OfflineData:
    """The episodes chosen [episodes] bool."""
    starts, returns = data.episode_starts, data.episode_returns
    lengths = np.diff(starts, append=len(data))
    # The last episode alone may have no end, and so no return.
    known = len(starts) - len(returns) in (0, 1)
    return select(
        data,
        np.repeat(chosen, lengths),
        np.append(0, np.cumsum(lengths[chosen])[:-1]),
        returns[chosen[: len(returns)]] if known else np.zeros(0),
    )


def _renamed(data: OfflineData, what: str, seed: int) -> OfflineData:
    """With a provenance that tells it from the whole."""
    own = data.provenance
    digest = hashlib.sha256(f"{own.sha256} {what} {seed}".encode()).hexdigest()
    provenance = dataclasses.replace(own, name=f"{own.name}, {what}", sha256=digest)
    return dataclasses.replace(data, provenance=provenance)
