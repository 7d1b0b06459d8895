"""Arrays in HDF5 files."""

import contextlib
import importlib
import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import h5py
import numpy as np

from obd_jax.data.names import listed
from obd_jax.types import InvalidInputError

NEEDED = ("observations", "actions", "rewards", "terminals")
# What D4RL's own q-learning form reads.
D4RL_NAMES = (*NEEDED, "timeouts")


class Contents(NamedTuple):
    """What is read from a file.

    fields:     arrays by name.
    attributes: of the file.
    """

    fields: dict[str, np.ndarray]
    attributes: Mapping[str, Any]


def read_hdf5(path: str | os.PathLike) -> Contents:
    """The arrays of one of D4RL's own HDF5 files, or of one that is written like them.

    Raises:
        InvalidInputError: no file, not (or a truncated) HDF5, a key missing, or contents in other
            files or in a compression that cannot be read here.
    """
    with opened(path) as file:
        members = {key: file.get(key) for key in sorted(file.keys())}
        used = [key for key in D4RL_NAMES if isinstance(members.get(key), h5py.Dataset)]
        missing = [key for key in NEEDED if key not in used]
        if missing:
            raise InvalidInputError(
                f"{os.fspath(path)}: lacks {', '.join(missing)}; needed: {', '.join(NEEDED)}; "
                f"found {listed(members)}"
            )
        return Contents({key: array_of(members[key]) for key in used}, dict(file.attrs))


@contextlib.contextmanager
def opened(path: str | os.PathLike) -> Iterator[h5py.File]:
    """An HDF5 file, open for reading; what goes wrong inside is said by its path.

    Raises:
        InvalidInputError: no file, not HDF5, or truncated.
    """
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError) as error:
        reason, *_ = str(error).split("\n")
        raise InvalidInputError(
            f"{os.fspath(path)}: not an HDF5 file, or truncated: {reason}"
        ) from error


def numbered(group: h5py.Group, prefix: str) -> list[str]:
    """Members called prefix0, prefix1 ..., by their numbers."""
    found = [name for name in group if name.startswith(prefix)]
    found = [name for name in found if name.removeprefix(prefix).isdigit()]
    return sorted(found, key=lambda name: int(name.removeprefix(prefix)))


def array_of(dataset: h5py.Dataset) -> np.ndarray:
    """The array of a data set.

    Raises:
        InvalidInputError: it is in another file that is missing, or in a compression that cannot
            be read here.
    """
    _refuse_unreadable(dataset.file.filename, dataset)
    return np.asarray(dataset[()])


def _refuse_unreadable(path: str, dataset: h5py.Dataset) -> None:
    """Refuse what HDF5 would read as zeros, or not at all, with a reason.

    Raises:
        InvalidInputError: a source of a virtual data set is missing, or a filter.
    """
    if dataset.is_virtual:
        folder = os.path.dirname(os.path.abspath(path))
        for source in dataset.virtual_sources():
            name = source.file_name
            if name != "." and not os.path.exists(os.path.join(folder, name)):
                raise InvalidInputError(
                    f"{path}: {dataset.name} is a virtual data set whose source {name} is missing"
                )
    filters = dataset.id.get_create_plist()
    for i in range(filters.get_nfilters()):
        code, _, _, label = filters.get_filter(i)
        if not h5py.h5z.filter_avail(code):
            with contextlib.suppress(ImportError):
                importlib.import_module("hdf5plugin")  # It registers what it has.
        if not h5py.h5z.filter_avail(code):
            name = label.decode(errors="replace") or "unnamed"
            raise InvalidInputError(
                f"{path}: {dataset.name} is compressed by HDF5's filter {code} ({name}), which is "
                "not installed; `pip install hdf5plugin` brings most filters"
            )


def write_hdf5(
    path: str | os.PathLike, fields: Mapping[str, np.ndarray], attributes: Mapping[str, Any]
) -> None:
    """Writes arrays as HDF5, with attributes of the file."""
    with h5py.File(path, "w") as file:
        for name, array in fields.items():
            file[name] = array
        file.attrs.update(attributes)
