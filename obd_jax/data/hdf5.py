"""Arrays in HDF5 files."""

import contextlib
import importlib
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import h5py
import numpy as np

from obd_jax.data.episodes import FLAGS
from obd_jax.types import InvalidInputError

_NEEDED = ("observations", "actions", "rewards", "terminals")
# What D4RL's own q-learning form reads, and what any recording may have.
D4RL_NAMES = (*_NEEDED, "timeouts")
NAMES = ("observations", "actions", "rewards", "next_observations", *FLAGS)


class Contents(NamedTuple):
    """What is read from a file.

    fields:     arrays by name.
    others:     names of the members that are not read.
    attributes: of the file.
    """

    fields: dict[str, np.ndarray]
    others: list[str]
    attributes: Mapping[str, Any] = {}


def read_hdf5(path: str | os.PathLike, names: Sequence[str] = D4RL_NAMES) -> Contents:
    """The arrays of an HDF5 file in D4RL's layout.

    Args:
        path: of the file.
        names: of the arrays to read, those that it has; observations, actions, rewards and one of
            the flags of the ends of episodes are needed.

    Raises:
        InvalidInputError: no file, not (or a truncated) HDF5, a key missing, or contents in other
            files or in a compression that cannot be read here.
    """
    path = os.fspath(path)
    try:
        with h5py.File(path, "r") as file:
            members = {key: file.get(key) for key in sorted(file.keys())}
            datasets = {k: v for k, v in members.items() if isinstance(v, h5py.Dataset)}
            used = [key for key in names if key in datasets]
            missing = [key for key in _NEEDED if key not in datasets]
            if any(key in FLAGS for key in used):
                missing = [key for key in missing if key != "terminals"]
            if missing:
                raise InvalidInputError(
                    f"{path}: lacks {', '.join(missing)}; needed are {', '.join(_NEEDED)}; "
                    f"found {_listed(list(members))}{_known_layout(members)}"
                )
            for key in used:
                _refuse_unreadable(path, datasets[key])
            fields = {key: np.asarray(datasets[key][()]) for key in used}
            others = [key for key in members if key not in used]
            return Contents(fields, others, dict(file.attrs))
    except (OSError, RuntimeError) as error:
        reason, *_ = str(error).split("\n")
        raise InvalidInputError(f"{path}: not an HDF5 file, or truncated: {reason}") from error


def _listed(names: Sequence[str], most: int = 12) -> str:
    """Names as text, not more than a line of them."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "nothing") + more


# First members of files in other layouts, and what their data are called.
_LAYOUTS = {
    "episode_0": "Minari: load it by its id, --dataset=ID --source=minari",
    "traj_0": "ManiSkill",
    "observations_0": "d3rlpy",
    "data": "robomimic, if it has data/demo_0",
}


def _known_layout(members: Mapping[str, Any]) -> str:
    """What a file of another layout looks like."""
    for name, meaning in _LAYOUTS.items():
        if name in members:
            return f"; that is the layout of {meaning}"
    return ""


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
