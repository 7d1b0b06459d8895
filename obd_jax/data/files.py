"""Files of recorded behaviour: HDF5 in the layout of D4RL, and npz."""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

from obd_jax.data.arrays import q_learning_data
from obd_jax.data.cache import sha256
from obd_jax.types import InvalidInputError, OfflineData, Provenance

_NEEDED = ("observations", "actions", "rewards", "terminals")
_NPZ = (*_NEEDED, "next_observations", "timeouts")
SUFFIXES = (".hdf5", ".h5", ".npz")


def load_hdf5(path: str | os.PathLike) -> OfflineData:
    """Reads a D4RL-layout HDF5 file as transitions in D4RL's q-learning form.

    The rules are those of `d4rl.qlearning_dataset` (Fu et al. 2020, arXiv 2004.07219): the next
    observation is the following row, rows with a timeout are dropped, the last row is lost.
    `next_observations` in the file is ignored, as it is there. Where `timeouts` is missing,
    episodes are cut at 1000 steps. `episode_returns` include the rewards of dropped rows.

    Args:
        path: file with observations [rows, D], actions [rows, A] in [-1, 1], rewards and terminals
            [rows] or [rows, 1], and optionally timeouts; any real number type.

    Returns:
        The transitions, float32; `provenance.sha256` is the hash of the file's bytes.

    Raises:
        InvalidInputError: no file, not (or a truncated) HDF5, a key missing, or contents that
            `from_arrays` refuses. The message names the path.
    """
    path = os.fspath(path)
    provenance = Provenance("d4rl-layout hdf5", path, _hash(path))
    return q_learning_data(read_hdf5(path), provenance)


def load_npz(path: str | os.PathLike) -> OfflineData:
    """Reads an npz file whose arrays are named like the arguments of `from_arrays`.

    Only observations and actions are needed.

    Raises:
        InvalidInputError: no file, not an npz file, a key missing, or contents that
            `from_arrays` refuses. The message names the path.
    """
    path = os.fspath(path)
    provenance = Provenance("npz", path, _hash(path))
    try:
        # Opened here: NumPy does not close a file that it finds damaged.
        with open(path, "rb") as content, np.load(content) as file:
            fields = {name: file[name] for name in _NPZ if name in file.files}
            found = file.files
    # Damage shows as many things: of the archive, of compression, of the header of an array.
    except Exception as error:
        raise InvalidInputError(f"{path}: not an npz file: {error}") from error
    for name in ("observations", "actions"):
        if name not in fields:
            raise InvalidInputError(
                f"{path}: lacks {name}; used are {', '.join(_NPZ)}; found {', '.join(found)}"
            )
    return q_learning_data(fields, provenance)


def load_file(path: str | os.PathLike) -> OfflineData:
    """Reads an npz file by `load_npz`, and any other by `load_hdf5`."""
    return load_npz(path) if pathlib.Path(path).suffix == ".npz" else load_hdf5(path)


def read_hdf5(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The arrays of a D4RL-layout HDF5 file that `load_hdf5` uses.

    Raises:
        InvalidInputError: no file, not (or a truncated) HDF5, or a key missing.
    """
    path = os.fspath(path)
    try:
        with h5py.File(path, "r") as file:
            members = {key: file.get(key) for key in sorted(file.keys())}
            datasets = {k: v for k, v in members.items() if isinstance(v, h5py.Dataset)}
            missing = [key for key in _NEEDED if key not in datasets]
            if missing:
                raise InvalidInputError(
                    f"{path}: lacks {', '.join(missing)}; needed are {', '.join(_NEEDED)}; "
                    f"found {', '.join(datasets) or 'no data sets'}"
                )
            used = [key for key in (*_NEEDED, "timeouts") if key in datasets]
            return {key: np.asarray(datasets[key][()]) for key in used}
    except (OSError, RuntimeError) as error:
        reason, *_ = str(error).split("\n")
        raise InvalidInputError(f"{path}: not an HDF5 file, or truncated: {reason}") from error


def write_hdf5(
    path: str | os.PathLike, fields: Mapping[str, np.ndarray], attributes: Mapping[str, Any]
) -> None:
    """Writes arrays as HDF5, with attributes of the file."""
    with h5py.File(path, "w") as file:
        for name, array in fields.items():
            file[name] = array
        file.attrs.update(attributes)


def _hash(path):
    try:
        return sha256(pathlib.Path(path))
    except OSError as error:
        raise InvalidInputError(f"{path}: cannot be read: {error.strerror}") from error
