"""What a recording holds, and what in it is suspicious, before anything runs on it."""

from typing import Any, NamedTuple

import numpy as np

from obd_jax.data.arrays import Rows, read_rows, transitions_of
from obd_jax.data.bounds import bounds_of
from obd_jax.data.continuity import breaks
from obd_jax.data.episodes import FLAGS, read_ends, report_unread
from obd_jax.data.normalization import constant_columns
from obd_jax.data.recording import Recording, closed
from obd_jax.data.transitions import Fields
from obd_jax.environments import MAX_EPISODE_STEPS
from obd_jax.types import ActionBounds, OfflineData, Provenance

# Magnitude of an observation or reward beyond which float32 loses what matters.
_HUGE = 1e6
# A value this many times further from the median than all but a hundredth is an outlier.
_OUTLIER = 100.0
# Rows that quantiles are taken of.
_SAMPLE = 100_000
# Beyond the bounds of actions by less than the first they are accepted; by less than the second
# it is rounding.
_ACCEPTED, _ROUNDING = 1e-6, 1e-3


class Finding(NamedTuple):
    """Something suspicious, and what to do about it; "" where the text says so itself."""

    text: str
    advice: str = ""


class End(NamedTuple):
    """A reason why episodes end: how many do so, and the first row in which one does."""

    reason: str
    number: int
    row: int


class Summary(NamedTuple):
    """A recording, understood.

    recording: as it was read.
    rows:      how many.
    data:      its transitions, with values that cannot be used replaced.
    lengths:   [episodes] rows of each, the last one included; empty if they are not known.
    ends:      why episodes end.
    findings:  what is suspicious.
    """

    recording: Recording
    rows: int
    data: OfflineData
    lengths: np.ndarray
    ends: list[End]
    findings: list[Finding]


def summarize(recording: Recording, provenance: Provenance) -> Summary:
    """Summary of a recording; values that a run would refuse are found, not refused.

    Args:
        recording: of any layout.
        provenance: of it.

    Raises:
        InvalidInputError: it cannot be read as transitions: wrong ranks, lengths or types.
    """
    where, notes = provenance.name, list[str]()
    bounds = bounds_of(recording.environment)
    findings = [*_values(recording.fields), *_actions(recording.fields, bounds)]
    findings += _rewards(recording.fields)
    usable = _usable(recording.fields)
    report_unread(recording.others, where, notes.append)
    fields = closed(usable) if recording.by_episode else usable
    rows = read_rows(fields, where, notes.append)
    extra = len(fields["actions"]) - len(usable["actions"])
    findings += [Finding(note.removeprefix(f"{where}: ")) for note in notes]
    return Summary(
        recording,
        len(usable["actions"]),
        transitions_of(rows, provenance),
        _lengths(rows, extra),
        _reasons(rows, fields, where, extra),
        findings,
    )


def _values(fields: Fields) -> list[Finding]:
    """Columns of observations that are not finite, constant, the same twice, or huge."""
    found = []
    for name in ("observations", "next_observations"):
        array = fields.get(name)
        if array is None or array.ndim != 2 or array.dtype.kind not in "fiub" or not array.size:
            continue  # Refused when it is read.
        finite = np.isfinite(array)
        broken = ~finite.all(axis=1)
        if broken.any():
            found.append(
                Finding(
                    f"{name} are NaN or infinite in {_count(broken)}, columns "
                    f"{_listed(np.flatnonzero(~finite.all(axis=0)))}",
                    "a run refuses them: remove these rows, or their episodes",
                )
            )
        if name == "observations":
            found += _columns(np.where(finite, array, 0))
    return found


def _columns(observations: np.ndarray) -> list[Finding]:
    """Columns that are constant, the same as another, or huge; all values finite."""
    found = []
    constant = constant_columns(observations)
    if len(constant):
        found.append(
            Finding(
                f"observations {_listed(constant)} are constant",
                "they are centred and not scaled up; leave them out where they are padding",
            )
        )
    seen: dict[bytes, int] = {}
    twice = []
    for place in np.setdiff1d(np.arange(observations.shape[1]), constant):
        other = seen.setdefault(np.ascontiguousarray(observations[:, place]).tobytes(), place)
        if other != place:
            twice.append(f"{place} = {other}")
    if twice:
        found.append(
            Finding(
                f"observations that equal another column: {', '.join(twice[:8])}",
                "leave one of each out: together they weigh twice",
            )
        )
    magnitude = np.abs(observations).max(axis=0)
    huge = np.flatnonzero(magnitude > _HUGE)
    if len(huge):
        row = np.argmax(np.abs(observations[:, huge[0]]))
        found.append(
            Finding(
                f"observations {_listed(huge)} are huge, up to {magnitude.max():.3g}, first in "
                f"row {row}",
                "clocks, counters or identifiers? leave them out, or change the unit",
            )
        )
    sample = observations[:: -(-len(observations) // _SAMPLE)]
    middle = np.median(sample, axis=0)
    usual = np.quantile(np.abs(sample - middle), 0.99, axis=0)
    furthest = np.abs(observations - middle).max(axis=0)
    outlying = (usual > 0) & (furthest > _OUTLIER * usual) & (magnitude <= _HUGE)
    for place in np.flatnonzero(outlying)[:3]:
        far = np.abs(observations[:, place] - middle[place]) > _OUTLIER * usual[place]
        found.append(
            Finding(
                f"observation {place} is {furthest[place]:.3g} from its median in {_count(far)}, "
                f"and no more than {usual[place]:.3g} in 99 of 100 rows",
                "a broken sensor or a unit that changes? remove these rows",
            )
        )
    return found


def _actions(fields: Fields, bounds: ActionBounds | None) -> list[Finding]:
    """Actions that are not finite, constant, or out of bounds and by how much."""
    actions = fields["actions"]
    if actions.ndim != 2 or actions.dtype.kind not in "fiub" or not actions.size:
        return []
    found = []
    finite = np.isfinite(actions)
    broken = ~finite.all(axis=1)
    if broken.any():
        found.append(
            Finding(
                f"actions are NaN or infinite in {_count(broken)}",
                "a run refuses them: remove these rows, or their episodes",
            )
        )
    known = np.where(finite, actions, 0)
    fits = bounds is not None and len(bounds.low) == actions.shape[1]
    scaled = bounds.normalize(known) if bounds is not None and fits else known
    shown, unit = (str(bounds), " of half the range") if fits else ("[-1, 1]", "")
    excess = np.abs(scaled) - 1
    beyond = (excess > _ACCEPTED).any(axis=1)
    if beyond.any():
        columns = np.flatnonzero((excess > _ACCEPTED).any(axis=0))
        ranges = ", ".join(
            f"{place} in [{known[:, place].min():.4g}, {known[:, place].max():.4g}]"
            for place in columns[:6]
        )
        advice = (
            "give the bounds that they were recorded in, --action_low and --action_high, or the "
            "--env that has them"
        )
        if excess.max() < _ROUNDING:
            advice = "rounding: clip them"
        found.append(
            Finding(
                f"actions are beyond {shown} by up to {excess.max():.3g}{unit} in "
                f"{_count(beyond)}; action {ranges}",
                advice,
            )
        )
    constant = constant_columns(known)
    if len(constant):
        found.append(
            Finding(f"actions {_listed(constant)} are constant", "a policy learns nothing there")
        )
    return found


def _rewards(fields: Fields) -> list[Finding]:
    """Rewards that are not finite, constant or huge."""
    if "rewards" not in fields or fields["rewards"].dtype.kind not in "fiub":
        return []
    rewards = fields["rewards"].reshape(len(fields["rewards"]), -1)[:, :1]
    finite = np.isfinite(rewards)
    found = []
    if not finite.all():
        found.append(
            Finding(
                f"rewards are NaN or infinite in {_count(~finite[:, 0])}",
                "a run refuses them: remove these rows, or their episodes",
            )
        )
    known = np.where(finite, rewards, 0)
    if not known.size:
        return found
    if len(constant_columns(known)):
        found.append(
            Finding(
                f"rewards are {known[0, 0]:.4g} in every row",
                "no critic learns from them: a teacher of your own, or --objective=dbc",
            )
        )
    elif np.abs(known).max() > _HUGE:
        row = np.argmax(np.abs(known))
        found.append(
            Finding(
                f"rewards are huge, up to {np.abs(known).max():.3g}, in row {row}",
                "divide them by a constant",
            )
        )
    return found


def _usable(fields: Fields) -> Fields:
    """Fields without what a run refuses: the last finite value before, and actions clipped."""
    found = {}
    for name, array in fields.items():
        if name not in FLAGS and array.dtype.kind == "f" and not np.isfinite(array).all():
            flat = array.reshape(len(array), -1)
            rows = np.where(np.isfinite(flat), np.arange(len(flat))[:, None], -1)
            rows = np.maximum.accumulate(rows, axis=0)
            filled = np.take_along_axis(flat, np.maximum(rows, 0), axis=0)
            array = np.where(rows < 0, 0, filled).reshape(array.shape)
        if name == "actions" and array.dtype.kind in "fiu":
            array = np.clip(array, -1, 1)
        found[name] = array
    return found


def _lengths(rows: Rows, extra: int) -> np.ndarray:
    """Rows of every episode, one without an end included, but for `extra` rows at the end."""
    if not rows.in_order:
        return np.zeros(0, np.int64)
    ends = np.flatnonzero(rows.ends.terminals | rows.ends.timeouts)
    count = len(rows.ends.terminals) - extra
    lengths = np.diff(np.unique(np.append(ends, count - 1)), prepend=-1)
    return lengths[lengths > 0]


def _reasons(rows: Rows, fields: Fields, where: str, extra: int) -> list[End]:
    """Why episodes end; rows are those of the recording."""
    flags = {name: np.asarray(fields[name]).reshape(-1) for name in FLAGS if name in fields}
    with_next = "next_observations" in fields
    given = read_ends(flags, len(fields["actions"]), with_next, where, lambda note: None)
    if not rows.in_order:
        return []
    numbers = np.arange(len(fields["actions"]))
    terminals, timeouts = rows.ends.terminals, rows.ends.timeouts
    assert timeouts is not None
    timed = np.zeros(len(numbers), bool) if given.timeouts is None else given.timeouts
    ended = given.terminals
    if rows.kept is not None:
        numbers, timed, ended = numbers[rows.kept], timed[rows.kept], ended[rows.kept]
    last = np.zeros(len(numbers), bool)
    last[len(numbers) - 1 - extra] = True
    elsewhere = np.zeros(len(numbers), bool)
    if with_next:
        final = timed | ended
        pair = (rows.fields["observations"], rows.fields["next_observations"])
        elsewhere[breaks(*pair, final)] = True
    guessed = timeouts & ~timed & ~ended
    kinds = {
        "terminal": terminals,
        "timeout, or the recording was cut": timeouts & timed & ~terminals,
        "terminal at the time limit, read as a timeout": timeouts & ended & ~timed,
        "jump: the next observation is not the following row": guessed & elsewhere,
        f"time limit of {MAX_EPISODE_STEPS} steps, assumed": guessed & ~elsewhere,
        "end of the file": last & ~(terminals | timeouts),
    }
    return [
        End(reason, int(at.sum()), int(numbers[np.argmax(at)]))
        for reason, at in kinds.items()
        if at.any()
    ]


def _count(at: Any) -> str:
    """How many rows, and the first ones."""
    found = np.flatnonzero(at)
    several = "s" if len(found) > 1 else ""
    return f"{len(found):,} row{several} (first {_listed(found)})"


def _listed(numbers: np.ndarray, most: int = 5) -> str:
    """Numbers as text, the first few."""
    return ", ".join(map(str, numbers[:most])) + (" ..." if len(numbers) > most else "")
