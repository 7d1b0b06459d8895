"""Where episodes end: what recordings say, by the names of several libraries, and is it likely."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from obd_jax.environments import MAX_EPISODE_STEPS

# The environment ended; the more precise names come first.
TERMINALS = ("terminations", "terminateds", "terminated", "terminals")
# Time ran out.
TIMEOUTS = ("timeouts", "truncations", "truncateds", "truncated")
# An episode ended, by either.
ENDS = ("dones", "done", "dones_float", "episode_terminals")
# 0 where the environment ended, and 0 where a row is no transition.
MASKS, VALIDS = "masks", "valids"
FLAGS = (*TERMINALS, *TIMEOUTS, *ENDS, MASKS, VALIDS)

_LOOKS_LIKE_AN_END = re.compile(r"done|term|trunc|timeout|mask|valid|first|last|episode")
# Terminals at the longest episode's length, and of how many steps at least, that look like a time
# limit: short episodes have equal lengths by chance.
_MANY, _LONG = 3, 50

Note = Callable[[str], None]


class Ends(NamedTuple):
    """Where episodes end.

    terminals: [rows] bool, the environment ended.
    timeouts:  [rows] bool, time ran out or the recording was cut; None: not recorded.
    kept:      [rows] bool, rows that are part of an episode; None: all.
    """

    terminals: np.ndarray
    timeouts: np.ndarray | None
    kept: np.ndarray | None = None


def read_ends(
    flags: dict[str, np.ndarray], rows: int, with_next: bool, where: str, note: Note
) -> Ends:
    """Ends of episodes by the flags that a recording has.

    Of an end that is a terminal by one name and not by another it counts what the more precise
    name says: `terminations` and `masks` mean the environment's own ends, `dones`,
    `episode_terminals` and a `terminals` that has more than those mean ends of either kind.

    Args:
        flags: [rows] each, by names of `FLAGS`.
        rows: how many.
        with_next: whether rows have next observations of their own.
        where: what the data are called.
        note: gets a line on what is ambiguous, and how it is read.
    """
    given = {name: array != 0 for name, array in flags.items()}
    ends = [given[name] for name in ENDS if name in given]
    invalid = ~given[VALIDS] if VALIDS in given else np.zeros(rows, bool)
    before = np.append(invalid[1:], False)
    padded = bool((invalid & before).any())
    if "terminals" in given and not padded and given["terminals"][invalid].all():
        # As in OGBench: marks of the last transition of a trajectory and of the row after it.
        given["terminals"] = given["terminals"] & ~(invalid | before)
    names = [name for name in TERMINALS if name in given]
    if MASKS in given:
        names.insert(0, MASKS)
        given[MASKS] = ~given[MASKS]
    terminals = given[names[0]] if names else None
    for name in names[1:]:
        _report_difference(names[0], name, given, where, note)
        ends.append(given[name])
    over = [given[name] for name in TIMEOUTS if name in given]
    kept = None
    if VALIDS in given:
        left_out = invalid
        if not (with_next or padded):
            # The last observation of a trajectory follows the row before, unless that ended.
            ended = np.zeros(rows, bool) if terminals is None else terminals
            left_out = invalid & np.append(False, ended[:-1])
        kept = ~left_out
        last = (invalid & kept) | (np.append(left_out[1:], False) & ~invalid)
        over.append(last if terminals is None else last & ~terminals)
        note(
            f"{where}: {invalid.sum()} of {rows} rows are no transitions by valids, first row "
            f"{np.argmax(invalid)}; {left_out.sum()} are left out, the others end trajectories"
        )
    timeouts = np.any(over, axis=0) if over else None
    if ends:
        end = np.any(ends, axis=0)
        if terminals is None:
            terminals = end if timeouts is None else end & ~timeouts
        else:
            timeouts = (end & ~terminals) | (False if timeouts is None else timeouts)
    return Ends(np.zeros(rows, bool) if terminals is None else terminals, timeouts, kept)


def _report_difference(
    used: str, other: str, given: dict[str, np.ndarray], where: str, note: Note
) -> None:
    """Say which of two kinds of terminals counts, where they differ."""
    differ = given[used] != given[other]
    if differ.any():
        note(
            f"{where}: {other} and {used} differ in {differ.sum()} of {len(differ)} rows, first "
            f"in row {np.argmax(differ)}: {used} are the terminals, {other} ends of either kind"
        )


def report_unread(names: Sequence[str], where: str, note: Note) -> None:
    """Say which arrays of a file sound like ends of episodes and are not read."""
    unread = [name for name in names if _LOOKS_LIKE_AN_END.search(name) and name not in FLAGS]
    if unread:
        note(
            f"{where}: {', '.join(unread[:8])} may mark ends of episodes but are not read; flags "
            f"that are read: {', '.join(FLAGS)}"
        )


def check_ends(ends: Ends, where: str, note: Note, rewarded: bool) -> Ends:
    """Terminals at the time limit become timeouts where none is recorded; suspicious ends are said.

    Where there are no timeouts at all, episodes are cut after every `MAX_EPISODE_STEPS` steps.

    Args:
        ends: as read.
        where: what the data are called.
        note: gets a line on what looks wrong.
        rewarded: whether there are rewards; without them nothing is learned from such cuts.
    """
    terminals, timeouts, _ = ends
    rows = len(terminals)
    if terminals.sum() > max(1, rows / 2):
        note(
            f"{where}: {terminals.sum()} of {rows} rows are terminals, first row "
            f"{np.argmax(terminals)}: episodes of one step, or flags that are inverted?"
        )
    if timeouts is None or not timeouts.any():
        limit = time_limit(terminals)
        late = terminals & limit
        if late.any():
            note(
                f"{where}: {late.sum()} of {terminals.sum()} terminals are at step "
                f"{MAX_EPISODE_STEPS}, first in row {np.argmax(late)}, and no timeouts are "
                "recorded: they are read as timeouts"
            )
        _report_equal_lengths(terminals & ~late, where, note)
        cut = limit & ~late
        cut[-1] = False  # Nothing follows there.
        if timeouts is None and rewarded and cut.any():
            note(
                f"{where}: no timeouts are recorded: episodes are cut after every "
                f"{MAX_EPISODE_STEPS} steps, {cut.sum()} times, first in row {np.argmax(cut)}; "
                "give timeouts if they end elsewhere"
            )
        if timeouts is not None and cut.any():
            lengths = np.diff(np.flatnonzero(terminals), prepend=-1, append=rows - 1)
            first = np.cumsum(lengths)[np.argmax(lengths)] - lengths.max()
            note(
                f"{where}: none of the {rows} rows is a timeout, and an episode has "
                f"{lengths.max()} steps, from row {first}: are ends of episodes missing?"
            )
        timeouts = late if timeouts is not None else limit
        terminals = terminals & ~late
    return Ends(terminals, timeouts)


def _report_equal_lengths(terminals: np.ndarray, where: str, note: Note) -> None:
    """Say that terminals look like time limits: many at the same and longest step."""
    last = np.flatnonzero(terminals)
    lengths = np.diff(last, prepend=-1)
    if len(last) < _MANY or lengths.max() == 1:
        return
    longest = lengths == lengths.max()
    if longest.all() or (longest.sum() >= _MANY and lengths.max() >= _LONG):
        note(
            f"{where}: {longest.sum()} of {len(last)} episodes end by a terminal after "
            f"{lengths.max()} steps, the longest length, first in row {last[longest][0]}: if "
            "that is a time limit, record them as timeouts"
        )


def time_limit(terminals: np.ndarray) -> np.ndarray:
    """Timeouts implied by the time limit: [rows] bool.

    D4RL's own counter starts at one instead of zero after a terminal. That would cut those
    episodes at step 999 and join step 1000 to the next episode, so it is not reproduced.
    """
    rows = np.arange(len(terminals))
    starts = np.concatenate([[True], terminals[:-1]])
    steps = rows - np.maximum.accumulate(np.where(starts, rows, 0))
    return steps % MAX_EPISODE_STEPS == MAX_EPISODE_STEPS - 1
