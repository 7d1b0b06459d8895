"""What the entry scripts share: flags from a configuration record, errors, progress."""

import contextlib
import dataclasses
import pathlib
import signal
import sys
import threading
import time
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import filelock
import jax
from absl import app, flags, logging

from obd_jax.data import default_cache
from obd_jax.types import InvalidInputError

_DEFINERS: dict[type, Callable[..., Any]] = {
    str: flags.DEFINE_string,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_boolean,
}


def field(default: Any, help_text: str) -> Any:
    """Dataclass field that is also a flag of the same name."""
    return dataclasses.field(default=default, metadata={"help": help_text})


def define_flags(config_type: type) -> None:
    """One absl flag for every field of a configuration record; its default stays the record's.

    A tuple of integers is written as a comma-separated list, and None as an absent flag.
    """
    hints = typing.get_type_hints(config_type)
    for entry in dataclasses.fields(config_type):
        shown = f" Default: {entry.default}." if entry.default is not None else ""
        kind = kind_of(hints[entry.name])
        define = _DEFINERS.get(kind, flags.DEFINE_list)
        define(entry.name, None, entry.metadata["help"] + shown)
        # So that --help lists it: absl knows the main module by this name.
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[entry.name])


def config_from_flags(config_type: type, preset: Mapping[str, Any]) -> Any:
    """Configuration from the flags given, then the preset, then the record's defaults."""
    hints = typing.get_type_hints(config_type)
    values = dict(preset)
    for entry in dataclasses.fields(config_type):
        given = flags.FLAGS[entry.name].value
        if given is None:
            continue
        if kind_of(hints[entry.name]) is tuple:
            try:
                given = tuple(int(item) for item in given)
            except ValueError as error:
                raise InvalidInputError(
                    f"--{entry.name} takes integers separated by commas, got {','.join(given)}"
                ) from error
        values[entry.name] = given
    return config_type(**values)


def kind_of(hint: Any) -> type:
    """The type behind `X`, `X | None` or `tuple[int, ...]`."""
    if isinstance(hint, types.UnionType):
        hint = next(arg for arg in typing.get_args(hint) if arg is not type(None))
    return typing.get_origin(hint) or hint


# BSD's EX_TEMPFAIL, for which queues can be told to start a job again.
STOPPED = 75
INTERRUPTED = 128 + signal.SIGINT


class Stopped(KeyboardInterrupt):
    """SIGTERM asked the program to end, as queues do that need the machine for others."""


def _stop(*_: object) -> None:
    raise Stopped


@contextlib.contextmanager
def signals_wait() -> Iterator[Callable[[], KeyboardInterrupt | None]]:
    """Inside, SIGTERM and Ctrl-C interrupt nothing, so that a block of work can be ended and saved.

    The function given returns what they would have raised, for the caller to raise then; it is
    raised at the end of the context at the latest. A second signal has its effect at once.
    """
    received: list[KeyboardInterrupt] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None  # Signals are the main thread's business.
        return

    def receive(number: int, _: object) -> None:
        received.append(Stopped() if number == signal.SIGTERM else KeyboardInterrupt())
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, receive)
    try:
        yield lambda: received[0] if received else None
    finally:
        restore()
    if received:
        raise received[0]


def run_main(main: Callable[..., None], passes_on: bool = False) -> None:
    """`absl.app.run`, with exit codes and one line on stderr where it does not end well.

    Invalid input: 2. SIGTERM: 75, upon which queues start a job again. Ctrl-C: 130.

    Args:
        main: the program.
        passes_on: whether what follows `--` is given to it, as a list; else it is refused.
    """

    def wrapped(arguments: list[str]) -> None:
        # Of what Orbax would log over pages, `Checkpoints` says the point in a line.
        logging.set_verbosity(logging.FATAL)
        signal.signal(signal.SIGTERM, _stop)
        try:
            if len(arguments) > 1 and not passes_on:
                raise InvalidInputError(
                    f"unexpected argument {arguments[1]!r}; flags start with --"
                )
            keep_compiled()
            main(*([arguments[1:]] if passes_on else []))
        except InvalidInputError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
        except KeyboardInterrupt as error:
            by_queue = isinstance(error, Stopped)
            print("stopped by SIGTERM" if by_queue else "interrupted", file=sys.stderr)
            sys.exit(STOPPED if by_queue else INTERRUPTED)

    app.run(wrapped, flags_parser=_parse_flags)


def keep_compiled() -> None:
    """Compiled programs are kept in the cache folder, for the next process that needs them.

    They take 1 GiB at most. JAX's own setting, JAX_COMPILATION_CACHE_DIR, goes before all this.
    """
    if getattr(jax.config, "jax_compilation_cache_dir", None) is None:
        folder = default_cache() / "compiled"
        _drop_unfinished(folder)
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
        jax.config.update("jax_compilation_cache_max_size", 2**30)  # Bytes.


def _drop_unfinished(folder: pathlib.Path) -> None:
    """Remove what a process that was killed left half-written, where JAX would keep nothing more.

    JAX writes a program, then a file with the time of its last use, holding this lock.
    """
    with contextlib.suppress(OSError):  # A folder that cannot be written: JAX will say so.
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / ".lockfile", timeout=10):
            for program in folder.glob("*-cache"):
                if not program.with_name(f"{program.name.removesuffix('cache')}atime").exists():
                    program.unlink()


def _parse_flags(arguments: list[str]) -> list[str]:
    """Flags that cannot be parsed are invalid input too."""
    try:
        return flags.FLAGS(arguments)
    except flags.Error as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)


def note(message: str) -> None:
    """One line for the person who watches."""
    print(message, file=sys.stderr, flush=True)


class Clock:
    """Seconds spent in named phases; the same name adds up."""

    def __init__(self):
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


class Progress:
    """Progress lines on stderr, at most one every few seconds, with the time still to go."""

    def __init__(self, label: str, interval: float = 5.0):
        self._label, self._interval = label, interval
        self._start = self._last = time.monotonic()

    def __call__(self, done: int, total: int, eta: float | None = None, note: str = "") -> None:
        """Report `done` of `total`; the time to go is extrapolated unless given in seconds."""
        now = time.monotonic()
        if done < total and now - self._last < self._interval:
            return
        self._last = now
        elapsed = now - self._start
        if eta is None:
            eta = elapsed * (total - done) / max(done, 1)
        print(
            f"{self._label} {done}/{total} | {_clock(elapsed)} elapsed, {_clock(eta)} to go"
            + (f" | {note}" if note else ""),
            file=sys.stderr,
            flush=True,
        )


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d}"
