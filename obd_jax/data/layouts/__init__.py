"""Layouts of recordings: a file or folder -> named arrays, by what is found in it.

One module each; `docs/data.md` has the table.
"""

import pathlib

from obd_jax.data.hdf5 import opened
from obd_jax.data.layouts.d3rlpy import is_d3rlpy, read_d3rlpy
from obd_jax.data.layouts.flat import read_flat_hdf5, read_npz
from obd_jax.data.layouts.grouped import layout_of, read_grouped
from obd_jax.data.layouts.lerobot import is_lerobot, read_lerobot
from obd_jax.data.layouts.tables import TABLE_SUFFIXES, read_tables
from obd_jax.data.names import listed
from obd_jax.data.recording import Recording
from obd_jax.settings import OptionError
from obd_jax.types import InvalidInputError

_HDF5_SUFFIXES = (".hdf5", ".h5")
SUFFIXES = (*_HDF5_SUFFIXES, ".npz", *TABLE_SUFFIXES)
# First bytes of a file -> the suffix that it should have.
_SIGNATURES = {b"\x89HDF": ".hdf5", b"PK\x03\x04": ".npz", b"PAR1": ".parquet"}
# Where Minari keeps the arrays of a data set in HDF5, in its folder.
_MINARI = ("main_data.hdf5", "data/main_data.hdf5")

__all__ = ["SUFFIXES", "read_recording"]


def read_recording(path: pathlib.Path, columns: str | None = None) -> Recording:
    """Arrays of a file or folder, whose layout is recognised by its content.

    Args:
        path: of an HDF5, npz, CSV or Parquet file, or of a folder by LeRobot, by Minari or of
            CSV or Parquet files.
        columns: for tables, what their columns are: `layouts.tables.parse_columns`.

    Raises:
        InvalidInputError: nothing there, or nothing that is known; the message says what was
            found and what is known.
    """
    if path.is_dir():
        return _read_folder(path, columns)
    suffix = _suffix(path)
    if suffix in TABLE_SUFFIXES:
        return read_tables(path, [path], suffix, columns)
    if columns is not None:
        raise OptionError(f"{{columns}} is for CSV and Parquet, which {path} is not")
    if suffix == ".npz":
        return read_npz(path)
    with opened(path) as file:
        layout = layout_of(file)
        if layout is not None:
            return read_grouped(path, file, layout)
        if is_d3rlpy(file):
            return read_d3rlpy(path, file)
    return read_flat_hdf5(path)


def _suffix(path: pathlib.Path) -> str:
    """The suffix of a file's kind: by its first bytes, or, where these tell nothing, its own."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise InvalidInputError(f"{path}: cannot be read: {error.strerror}") from error
    suffix = _SIGNATURES.get(start, path.suffix.lower())
    if suffix not in SUFFIXES:
        raise InvalidInputError(
            f"{path}: neither HDF5, npz nor Parquet by its first bytes, nor named "
            f"{' or '.join(TABLE_SUFFIXES)}"
        )
    return suffix


def _read_folder(path: pathlib.Path, columns: str | None) -> Recording:
    """Arrays of a folder."""
    tables = {
        suffix: files
        for suffix in TABLE_SUFFIXES
        if (files := sorted(file for file in path.iterdir() if file.suffix.lower() == suffix))
    }
    if len(tables) == 1:
        ((suffix, files),) = tables.items()
        return read_tables(path, files, suffix, columns)
    if columns is not None:
        raise OptionError(f"{{columns}} is for CSV and Parquet files, of which {path} has none")
    if is_lerobot(path):
        return read_lerobot(path)
    for name in _MINARI:
        if (path / name).is_file():
            return read_recording(path / name)
    raise InvalidInputError(
        f"{path} is a folder of no known layout; found "
        f"{listed(sorted(file.name for file in path.iterdir()))}; known: folders of LeRobot "
        "(meta/info.json), of Minari (data/main_data.hdf5; others by --dataset=ID) and of files "
        f"of one kind, {', '.join(TABLE_SUFFIXES)}"
    )
