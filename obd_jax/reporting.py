"""Reports of a running driver: notes, progress, and seconds by phase.

Drivers take a `Reporter`; nothing below them prints or logs.
"""

import contextlib
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from obd_jax.progress_bars import Bar, clock


class ProgressCallback(Protocol):
    """Reports that `done` of `total` are done; `eta` is in seconds."""

    def __call__(self, done: int, total: int, eta: float | None = None, note: str = "") -> None:
        """Report."""


class Reporter(NamedTuple):
    """Where a driver reports.

    note:     (line) -> None.
    progress: (label) -> function that is called with (done, total, eta=None, note="").
    """

    note: Callable[[str], None]
    progress: Callable[[str], ProgressCallback]


def note(message: str) -> None:
    """One line on stderr."""
    print(message, file=sys.stderr, flush=True)


def warn(message: str) -> None:
    """One line as a Python warning, for suspicious findings without a reporter."""
    warnings.warn(message, stacklevel=3)


class Progress:
    """Progress lines on stderr, at most one every few seconds, with the remaining time.

    The first comes with a report after two seconds. The end is reported too, except of what has
    taken less.
    """

    def __init__(self, label: str, interval: float = 5.0, first: float = 2.0):
        self._label, self._interval = label, interval
        self._start, self._first = time.monotonic(), first
        self._last = self._start - interval + first

    def __call__(self, done: int, total: int, eta: float | None = None, note: str = "") -> None:
        """Report `done` of `total`; the time to go is extrapolated unless given in seconds."""
        now = time.monotonic()
        elapsed = now - self._start
        due = now - self._last >= self._interval or done >= total
        if not due or elapsed < self._first:
            return
        self._last = now
        if eta is None:
            eta = elapsed * (total - done) / max(done, 1)
        print(
            f"{self._label} {done}/{total} | {clock(elapsed)} elapsed, {clock(eta)} to go"
            + (f" | {note}" if note else ""),
            file=sys.stderr,
            flush=True,
        )


def progress(label: str) -> ProgressCallback:
    """A bar where stderr is a terminal, else lines."""
    return Bar(label) if sys.stderr.isatty() else Progress(label)


def _ignore(*_: object, **__: object) -> None:
    pass


CONSOLE = Reporter(note, progress)
SILENT = Reporter(_ignore, lambda label: _ignore)


class Clock:
    """Seconds spent in named phases; the same name adds up."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Count what runs inside as phase `name`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.seconds[name] = self.seconds.get(name, 0.0) + spent
