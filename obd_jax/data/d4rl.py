"""HDF5 files in the layout of D4RL."""

import hashlib
import os

import h5py
import numpy as np

from obd_jax.data.arrays import q_learning_data
from obd_jax.types import InvalidInputError, OfflineData, Provenance

_NEEDED = ("observations", "actions", "rewards", "terminals")


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
    try:
        with open(path, "rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InvalidInputError(f"{path}: cannot be read: {error.strerror}") from error
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
            fields = {key: np.asarray(datasets[key][()]) for key in used}
    except (OSError, RuntimeError) as error:
        reason, *_ = str(error).split("\n")
        raise InvalidInputError(f"{path}: not an HDF5 file, or truncated: {reason}") from error
    provenance = Provenance(source="d4rl-layout hdf5", name=path, sha256=sha256)
    return q_learning_data(fields, provenance)
