"""How a run goes on where the process before it ended."""

import contextlib
import dataclasses
import json
import pathlib
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from obd_jax.artefacts import CHECKPOINTS, Checkpoints, Restored
from obd_jax.command_line import Clock, note, signals_wait
from obd_jax.types import InvalidInputError


def once(
    folder: pathlib.Path | None,
    name: str,
    clock: Clock,
    like: Any,
    make: Callable[[], tuple[Any, Any]],
) -> tuple[Any, Any]:
    """A phase of a run that is finished once: what `make` returns, or returned before.

    Args:
        folder: of the run; None keeps nothing.
        name: of the phase; its seconds are counted when it is made.
        clock: counts them.
        like: pytree with the form of the arrays made, or None.
        make: () -> (pytree of arrays or None, JSON object).
    """
    with contextlib.ExitStack() as stack:
        kept = None
        if folder is not None:
            kept = stack.enter_context(Checkpoints(folder / CHECKPOINTS / name, note, keep=1))
            found = kept.restore_latest(like)
            if found is not None:
                clock.seconds[name] = found.notes["seconds"]
                return found.state, found.notes["made"]
        with clock(name):
            arrays, made = make()
        if kept is not None:
            kept.save(0, arrays, {"made": made, "seconds": clock.seconds[name]})
        return arrays, made


def read_made(path: pathlib.Path, config: Any, free: Sequence[str] = ()) -> dict[str, Any] | None:
    """A result that is kept with the configuration it was made with; None if it is not there.

    Args:
        path: of the JSON file, with the settings under "config".
        config: record of the settings wanted; those newer than the file had their defaults.
        free: names of some that may differ.

    Raises:
        InvalidInputError: it was made with other settings.
    """
    if not path.exists():
        return None
    kept = json.loads(path.read_text())
    defaults, wanted = (
        json.loads(json.dumps(dataclasses.asdict(each))) for each in (type(config)(), config)
    )
    found = {**defaults, **kept["config"]}
    for name, value in wanted.items():
        if name not in free and found[name] != value:
            raise InvalidInputError(
                f"{path} was made with --{name}={found[name]}, not {value}; give another --out"
            )
    return kept


class Saver:
    """Saves the state of a loop from time to time, and when a signal is to end it.

    found: where the loop goes on; None: from its beginning.
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
def saving(
    folder: pathlib.Path,
    name: str,
    like: Any,
    minutes: float,
    prepare: Callable[[], None] = lambda: None,
) -> Iterator[Saver]:
    """Inside, a loop is saved, and signals wait for the end of its blocks.

    Args:
        folder: of the run.
        name: of the loop.
        like: pytree with the form of its state.
        minutes: between two checkpoints.
        prepare: called before each.
    """
    with signals_wait() as signalled, Checkpoints(folder / CHECKPOINTS / name, note) as checkpoints:
        found = checkpoints.restore_latest(like)
        if found is not None:
            note(f"goes on from step {found.step} in {folder}")
        yield Saver(checkpoints, found, minutes, signalled, prepare)


@contextlib.contextmanager
def says_how_to_go_on(out: pathlib.Path) -> Iterator[None]:
    """A signal that comes inside, or a full disk, makes the command known that goes on."""
    try:
        yield
    except (KeyboardInterrupt, OSError):
        named = any(word.lstrip("-").split("=")[0] == "out" for word in sys.argv[1:])
        command = [sys.executable, *sys.argv, *([] if named else [f"--out={out}"])]
        note(f"to go on: {shlex.join(command)}")
        raise
