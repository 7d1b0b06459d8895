"""How a run resumes where the process before it ended."""

import contextlib
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from obd_jax.reporting import Clock, Reporter
from obd_jax.runs.checkpoints import Checkpoints, Restored
from obd_jax.runs.folder import CHECKPOINTS
from obd_jax.runs.signals import defer_signals


def phase(
    folder: pathlib.Path | None,
    name: str,
    clock: Clock,
    reporter: Reporter,
    like: Any,
    make: Callable[[], tuple[Any, Any]],
    place: str | None = None,
) -> tuple[Any, Any]:
    """Run a phase once: return the result of `make`, or the saved result of an earlier call.

    Args:
        folder: of the run; None keeps nothing.
        name: of the phase; its seconds are counted when it is made.
        clock: counts them.
        reporter: is notified of a damaged checkpoint.
        like: pytree with the form of the arrays made, or None.
        make: () -> (pytree of arrays or None, JSON object).
        place: name among the checkpoints, where phases of one name differ; None: that of the phase.
    """
    with contextlib.ExitStack() as stack:
        kept = None
        if folder is not None:
            where = folder / CHECKPOINTS / (place or name)
            kept = stack.enter_context(Checkpoints(where, reporter.note, keep=1))
            found = kept.restore_latest(like)
            if found is not None:
                clock.seconds[name] = found.notes["seconds"]
                return found.state, found.notes["made"]
        with clock(name):
            arrays, made = make()
        if kept is not None:
            kept.save(0, arrays, {"made": made, "seconds": clock.seconds[name]})
        return arrays, made


class Saver:
    """Saves the state of a loop from time to time, and when a signal is about to end it.

    found: where the loop resumes; None: from its beginning.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        found: Restored | None,
        minutes: float,
        signalled: Callable[[], KeyboardInterrupt | None],
        prepare: Callable[[], None],
    ):
        self.found = found
        self._checkpoints, self._seconds, self._signalled = checkpoints, 60 * minutes, signalled
        self._prepare, self._last = prepare, time.monotonic()

    def __call__(self, step: int, state: Any, notes: dict[str, Any], now: bool = False) -> None:
        """Save if it is time, or `now`.

        Raises:
            KeyboardInterrupt: a signal has come, and the state is saved.
        """
        signal = self._signalled()
        if signal is not None or now or time.monotonic() - self._last >= self._seconds:
            self._prepare()
            self._checkpoints.save(step, state, notes)
            self._last = time.monotonic()
        if signal is not None:
            raise signal


@contextlib.contextmanager
def checkpointing(
    folder: pathlib.Path,
    name: str,
    like: Any,
    minutes: float,
    reporter: Reporter,
    prepare: Callable[[], None] = lambda: None,
) -> Iterator[Saver]:
    """Context in which a loop is saved, and signals wait for the end of its blocks.

    Args:
        folder: of the run.
        name: of the loop.
        like: pytree with the form of its state.
        minutes: between two checkpoints.
        reporter: is notified of the step that the loop resumes from.
        prepare: called before each checkpoint.
    """
    place = folder / CHECKPOINTS / name
    with defer_signals() as signalled, Checkpoints(place, reporter.note) as checkpoints:
        found = checkpoints.restore_latest(like)
        if found is not None:
            reporter.note(f"resumes from step {found.step} in {folder}")
        yield Saver(checkpoints, found, minutes, signalled, prepare)
