"""Files that are made once and kept: locked while made, whole or absent, checked when used."""

import contextlib
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import TypeVar

import filelock

from obd_jax.types import InvalidInputError

Contents = TypeVar("Contents")


class UnwritableError(InvalidInputError):
    """A folder of the cache cannot be written, or the disk is full."""


def default_cache() -> pathlib.Path:
    """`$OBD_JAX_CACHE`, else `obd_jax` in `$XDG_CACHE_HOME` or `~/.cache`."""
    own = os.environ.get("OBD_JAX_CACHE")
    if own:
        return pathlib.Path(own).expanduser()
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "obd_jax"


def cached(
    path: pathlib.Path,
    make: Callable[[pathlib.Path], None],
    read: Callable[[pathlib.Path], Contents],
    note: Callable[[str], None],
) -> Contents:
    """What a file holds, which is made unless it is there and sound.

    One process makes it while others wait.

    Args:
        path: of the file.
        make: writes the file at the path it is given.
        read: path -> what it holds; refuses, by `InvalidInputError`, a file that is damaged.
        note: gets a line on why something takes time.

    Raises:
        UnwritableError: the folder cannot be written, or the disk is full.
    """
    with locked(path, note):
        if path.exists():
            try:
                return read(path)
            except InvalidInputError as error:
                note(f"{error}; the file is damaged and is regenerated")
        temporary = path.with_name(f".{path.name}.part")
        try:
            make(temporary)
            found = read(temporary)
            temporary.replace(path)
        except OSError as error:
            raise UnwritableError(f"{path} cannot be written: {error}") from error
        finally:
            temporary.unlink(missing_ok=True)
    return found


@contextlib.contextmanager
def locked(path: pathlib.Path, note: Callable[[str], None]) -> Iterator[None]:
    """Inside, no other process makes the same file; its folder is made if need be.

    Raises:
        UnwritableError: the folder cannot be written.
    """
    lock = filelock.FileLock(path.with_name(f".{path.name}.lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except filelock.Timeout:
        note(f"another process is making {path}: waiting for it")
        lock.acquire()
    except OSError as error:
        raise UnwritableError(f"{path} cannot be written: {error}") from error
    try:
        yield
    finally:
        lock.release()


def sha256(path: pathlib.Path) -> str:
    """Hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
