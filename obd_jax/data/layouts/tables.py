"""Tables with named columns: CSV and Parquet files, and folders of them."""

import csv
import fnmatch
import functools
import importlib
import pathlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from obd_jax.data.names import SPELLINGS, fields_among, listed
from obd_jax.data.recording import Recording, with_ends
from obd_jax.extras import require
from obd_jax.settings import OptionError
from obd_jax.types import InvalidInputError

CSV_SUFFIXES = (".csv", ".tsv")
TABLE_SUFFIXES = (*CSV_SUFFIXES, ".parquet")
_EXAMPLE = "'observations:x,y,v_*; actions:u; rewards:r; terminals:done'"
# Episode of each row: not a field of a recording, but what its ends are read from.
_EPISODES = "episodes"
_MATRICES = ("observations", "actions", "next_observations")


class Table(NamedTuple):
    """A table whose columns are read when they are asked for.

    names: of all columns, in order.
    read:  names -> column of each, [rows] or, of lists of one length, [rows, columns].
    """

    names: list[str]
    read: Callable[[Sequence[str]], dict[str, np.ndarray]]


def parse_columns(text: str) -> dict[str, list[str]]:
    """Field -> its columns, of a text like `observations:x,y,v_*; actions:u; rewards:r`.

    Raises:
        OptionError: not of this form, or a field that there is not.
    """
    found: dict[str, list[str]] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        field, colon, names = part.partition(":")
        columns = [name.strip() for name in names.split(",") if name.strip()]
        if not colon or not columns or field.strip() in found:
            raise OptionError(f"{{columns}} is written like {_EXAMPLE}, got {text!r}")
        found[field.strip()] = columns
    known = (*SPELLINGS, _EPISODES)
    for field in found:
        if field not in known:
            raise OptionError(f"{{columns}} has no {field!r}; known: {', '.join(known)}")
    missing = [field for field in ("observations", "actions") if field not in found]
    if missing:
        raise OptionError(f"{{columns}} lacks {' and '.join(missing)}: {_EXAMPLE}")
    return found


def read_tables(
    path: pathlib.Path, files: list[pathlib.Path], suffix: str, columns: str | None
) -> Recording:
    """Rows of one file, or of the files of a folder, one after the other.

    Without `columns`, columns are found by the names of arrays in npz files. In `columns`, `*`
    stands for any text, in the order of the file's columns. A column of lists of one length is as
    many columns. `episodes` is a column that changes where an episode begins; with it, and at the
    end of each of several files, a row that no flag calls a terminal is a timeout.

    Args:
        path: what was given, for errors.
        files: of the table.
        suffix: of their kind, one of `TABLE_SUFFIXES`.
        columns: as of `parse_columns`, or None.

    Raises:
        InvalidInputError: a column that there is not, no numbers, or files that differ.
    """
    kind, open_table = (
        ("CSV", _csv_table) if suffix in CSV_SUFFIXES else ("Parquet", _parquet_table)
    )
    read = [open_table(file) for file in files]
    names = read[0].names
    for file, table in zip(files, read, strict=True):
        if table.names != names:
            raise InvalidInputError(
                f"{file} has columns {listed(table.names)}, but {files[0]} {listed(names)}"
            )
    chosen = _chosen(path, names, columns)
    wanted = list(dict.fromkeys(name for group in chosen.values() for name in group))
    arrays = [table.read(wanted) for table in read]
    whole = {name: _concatenated(path, name, [part[name] for part in arrays]) for name in wanted}
    rows = [len(next(iter(part.values()))) for part in arrays]
    fields = {field: _field(path, field, group, whole) for field, group in chosen.items()}
    episodes = np.repeat(np.arange(len(files)), rows)
    by_episode = len(files) > 1 or _EPISODES in fields
    if _EPISODES in fields:
        number = fields.pop(_EPISODES)
        changes = (number[1:] != number[:-1]) | (episodes[1:] != episodes[:-1])
        episodes = np.append(0, np.cumsum(changes))
    if by_episode:
        fields = with_ends(fields, episodes)
    sources = {field: listed(group) for field, group in chosen.items() if field in fields}
    if "timeouts" in fields:
        sources.setdefault("timeouts", f"last rows of {listed(chosen.get(_EPISODES, ['files']))}")
    return Recording(
        kind,
        fields,
        sources,
        files,
        others=[name for name in names if name not in wanted],
        by_episode=by_episode,
    )


def _chosen(
    path: pathlib.Path, names: list[str], columns: str | None
) -> Mapping[str, Sequence[str]]:
    """Field -> columns."""
    if columns is None:
        found = {field: [name] for field, name in fields_among(names).items()}
        if not {"observations", "actions"} <= found.keys():
            raise OptionError(
                f"{path} is a table with columns {listed(names, 40)}: map them to fields by "
                f"{{columns}}, as in {_EXAMPLE}"
            )
        return found
    found = {}
    for field, patterns in parse_columns(columns).items():
        found[field] = []
        for pattern in patterns:
            matches = [name for name in names if fnmatch.fnmatchcase(name, pattern)]
            matches = [pattern] if pattern in names else matches
            if not matches:
                raise OptionError(
                    f"{{columns}}: {path} has no column {pattern!r}; found {listed(names, 40)}"
                )
            found[field] += matches
        if field not in _MATRICES and len(found[field]) != 1:
            raise OptionError(f"{{columns}}: {field} is one column, got {', '.join(found[field])}")
    return found


def _concatenated(path: pathlib.Path, name: str, parts: list[np.ndarray]) -> np.ndarray:
    if len({part.shape[1:] for part in parts}) > 1:
        raise InvalidInputError(f"{path}: files differ in the length of the lists of {name}")
    return np.concatenate(parts)


def _field(
    path: pathlib.Path, field: str, group: Sequence[str], whole: Mapping[str, np.ndarray]
) -> np.ndarray:
    """A field of its columns."""
    for name in group:
        if whole[name].dtype.kind not in "fiub" and field != _EPISODES:
            raise InvalidInputError(f"{path}: column {name} holds no numbers")
    arrays = [whole[name] for name in group]
    if field not in _MATRICES:
        return arrays[0]
    return np.concatenate([a[:, None] if a.ndim == 1 else a for a in arrays], axis=1)


def _csv_table(path: pathlib.Path) -> Table:
    """A CSV file with a header, separated by commas, tabs or semicolons."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            head = file.readline()
            delimiter = max(",\t;", key=head.count)
            (names,) = csv.reader([head], delimiter=delimiter)
    except (ValueError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidInputError(f"{path}: not a CSV file with a header: {error}") from error
    names = [name.strip() for name in names]
    if len(set(names)) < len(names):
        raise InvalidInputError(f"{path}: columns of the same name: {listed(names, 40)}")

    def read(wanted: Sequence[str]) -> dict[str, np.ndarray]:
        load = functools.partial(
            np.loadtxt,
            path,
            delimiter=delimiter,
            quotechar='"',
            comments=None,
            skiprows=1,
            usecols=[names.index(name) for name in wanted],
            encoding="utf-8-sig",
        )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # No rows are refused later.
                try:
                    array = load()
                except ValueError:  # Words for numbers, which take longer to read.
                    array = load(converters=_number)
        except ValueError as error:
            raise InvalidInputError(f"{path}: {error}") from error
        array = array.reshape(-1, len(wanted))
        return {name: array[:, place] for place, name in enumerate(wanted)}

    return Table(names, read)


_WORDS = {"": np.nan, "true": 1.0, "false": 0.0}


def _number(text: str) -> float:
    """The number that a cell stands for; NaN if it is empty."""
    word = text.strip().lower()
    return _WORDS[word] if word in _WORDS else float(word)


def parquet_module() -> Any:
    """The module for Parquet files of pyarrow.

    Raises:
        InvalidInputError: pyarrow is not installed.
    """
    require("pyarrow", "parquet", "Parquet files")
    return importlib.import_module("pyarrow.parquet")


def _parquet_table(path: pathlib.Path) -> Table:
    """A Parquet file."""
    parquet = parquet_module()
    try:
        names = list(parquet.read_schema(path).names)
    except Exception as error:
        raise InvalidInputError(f"{path}: not a Parquet file: {error}") from error

    def read(wanted: Sequence[str]) -> dict[str, np.ndarray]:
        try:
            table = parquet.read_table(path, columns=list(wanted), partitioning=None)
        except Exception as error:
            raise InvalidInputError(f"{path}: cannot be read: {error}") from error
        return {name: column_of(table, name, path) for name in wanted}

    return Table(names, read)


def column_of(table: Any, name: str, path: pathlib.Path) -> np.ndarray:
    """A column of a table of pyarrow's, [rows], or [rows, columns] where it holds lists.

    Raises:
        InvalidInputError: lists of several lengths.
    """
    pyarrow: Any = importlib.import_module("pyarrow")
    compute: Any = importlib.import_module("pyarrow.compute")
    column, types = table.column(name).combine_chunks(), pyarrow.types
    lists = (types.is_list, types.is_large_list, types.is_fixed_size_list)
    if not any(is_list(column.type) for is_list in lists):
        return column.to_numpy(zero_copy_only=False)
    lengths = compute.unique(compute.list_value_length(column)).to_pylist()
    if len(lengths) > 1 or None in lengths:
        raise InvalidInputError(f"{path}: column {name} holds lists of several lengths")
    values = compute.list_flatten(column).to_numpy(zero_copy_only=False)
    return values.reshape(len(column), -1)
