"""How every command starts and ends: flags, signals, exit codes, compiled programs."""

import contextlib
import pathlib
import shlex
import signal
import sys
from collections.abc import Callable, Iterator

import filelock
import jax
from absl import app, flags, logging

from obd_jax.cli.flags import print_help
from obd_jax.data import default_cache
from obd_jax.reporting import note
from obd_jax.runs import CHECKPOINTS
from obd_jax.runs.signals import Stopped, stop
from obd_jax.settings import OptionError
from obd_jax.types import InvalidInputError

# BSD's EX_TEMPFAIL, on which queues can be set to restart a job.
STOPPED = 75
INTERRUPTED = 128 + signal.SIGINT


def run_main(main: Callable[..., None], passes_on: bool = False, about: str | None = None) -> None:
    """`absl.app.run`, with exit codes and one line on stderr where it does not end well.

    Invalid input: 2. SIGTERM: 75, upon which queues start a job again. Ctrl-C: 130.

    Args:
        main: the program.
        passes_on: whether what follows `--` is given to it, as a list; else it is refused.
        about: text of `--help` before the flags; None: the docstring of the script.
    """
    text = about or sys.modules["__main__"].__doc__ or ""

    def wrapped(arguments: list[str]) -> None:
        # Of what Orbax would log over pages, `Checkpoints` says the point in a line.
        logging.set_verbosity(logging.FATAL)
        signal.signal(signal.SIGTERM, stop)
        try:
            if len(arguments) > 1 and not passes_on:
                raise InvalidInputError(
                    f"unexpected argument {arguments[1]!r}; flags start with --"
                )
            keep_compiled()
            main(*([arguments[1:]] if passes_on else []))
        except OptionError as error:
            print(f"error: {error.spelled('--')}", file=sys.stderr)
            sys.exit(2)
        except InvalidInputError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
        except KeyboardInterrupt as error:
            by_queue = isinstance(error, Stopped)
            print("stopped by SIGTERM" if by_queue else "interrupted", file=sys.stderr)
            sys.exit(STOPPED if by_queue else INTERRUPTED)

    app.run(wrapped, flags_parser=lambda arguments: _parse_flags(arguments, text))


def _parse_flags(arguments: list[str], text: str) -> list[str]:
    """Flags that cannot be parsed are invalid input too."""
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if {"--help", "-help", "-h"} & {*own[1:]}:
        print_help(text)
        sys.exit(0)
    try:
        return flags.FLAGS(arguments)
    except flags.Error as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)


@contextlib.contextmanager
def show_resume_command(out: pathlib.Path) -> Iterator[None]:
    """A signal that comes inside, or a full disk, shows the command that resumes the run."""
    try:
        yield
    except (KeyboardInterrupt, OSError):
        if (out / CHECKPOINTS).exists():
            named = any(word.lstrip("-").split("=")[0] == "out" for word in sys.argv[1:])
            command = [*sys.orig_argv, *([] if named else [f"--out={out}"])]
            note(f"to resume: {shlex.join(command)}")
        raise


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
