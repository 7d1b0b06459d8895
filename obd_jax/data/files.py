"""Files of recorded behaviour: HDF5 in the layout of D4RL, and npz."""

import os
import pathlib
from collections.abc import Callable

import numpy as np

from obd_jax.data.arrays import recorded_data
from obd_jax.data.cache import sha256
from obd_jax.data.episodes import MASKS, VALIDS, say_unread
from obd_jax.data.hdf5 import NAMES, Contents, read_hdf5
from obd_jax.reporting import warn
from obd_jax.types import InvalidInputError, OfflineData, Provenance

SUFFIXES = (".hdf5", ".h5", ".npz")


def load_file(path: str | os.PathLike, *, note: Callable[[str], None] = warn) -> OfflineData:
    """Reads an npz file by `load_npz`, and any other by `load_hdf5`."""
    load = load_npz if pathlib.Path(path).suffix == ".npz" else load_hdf5
    return load(path, note=note)


def load_hdf5(path: str | os.PathLike, *, note: Callable[[str], None] = warn) -> OfflineData:
    """Reads an HDF5 file in D4RL's layout.

    The rules are those of `from_arrays`, so that the same arrays are the same data from HDF5, npz
    and memory: `next_observations` are used where the file has as many as observations. D4RL's own
    reader ignores them; so does `data.load` for D4RL's own files.

    Ends of episodes are read by the names `terminals`, `terminations`, `terminated`,
    `terminateds`; `timeouts`, `truncations`, `truncated`, `truncateds`; `dones`, `done`,
    `dones_float`, `episode_terminals` (either kind); `masks` (0 at terminals) and `valids`
    (0 where a row is no transition).

    Args:
        path: file with observations [rows, D], actions [rows, A] in [-1, 1], rewards and terminals
            [rows] or [rows, 1], and optionally the others; any real number type.
        note: is told in a line what looks wrong; by default that is a warning of Python's.

    Returns:
        The transitions, float32; `provenance.sha256` is the hash of the file's bytes.

    Raises:
        InvalidInputError: no file, not (or a truncated) HDF5, a key missing, or contents that
            `from_arrays` refuses. The message names the path.
    """
    path = os.fspath(path)
    provenance = Provenance("d4rl-layout hdf5", path, _hash(path))
    return _data(read_hdf5(path, NAMES), provenance, note)


def load_npz(path: str | os.PathLike, *, note: Callable[[str], None] = warn) -> OfflineData:
    """Reads an npz file whose arrays are named as in `load_hdf5`.

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
            fields = {name: file[name] for name in NAMES if name in file.files}
            found = list(file.files)
    # Damage shows as many things: of the archive, of compression, of the header of an array.
    except Exception as error:
        raise InvalidInputError(f"{path}: not an npz file: {error}") from error
    for name in ("observations", "actions"):
        if name not in fields:
            raise InvalidInputError(
                f"{path}: lacks {name}; used are {', '.join(NAMES)}; found {', '.join(found)}"
            )
    others = [name for name in found if name not in fields]
    return _data(Contents(fields, others), provenance, note)


def _data(contents: Contents, provenance: Provenance, note: Callable[[str], None]) -> OfflineData:
    """Transitions of a file; what is not read as it stands is said."""
    fields, where = dict(contents.fields), provenance.name
    shapes = {name: np.shape(fields[name]) for name in fields}
    following = shapes.get("next_observations")
    if following is not None and following != shapes["observations"]:
        note(
            f"{where}: next_observations have shape {following}, observations "
            f"{shapes['observations']}: not used, the next observation is the following row"
        )
        del fields["next_observations"]
    if (
        "terminals" in fields
        and "qpos" in contents.others
        and not {"rewards", "timeouts", MASKS, VALIDS} & fields.keys()
    ):
        note(
            f"{where}: without rewards and with qpos, as in OGBench: terminals are the ends of "
            "trajectories, whose last rows are no transitions"
        )
        fields["timeouts"] = fields.pop("terminals")
    say_unread(contents.others, where, note)
    return recorded_data(fields, provenance, note)


def _hash(path):
    try:
        return sha256(pathlib.Path(path))
    except OSError as error:
        raise InvalidInputError(f"{path}: cannot be read: {error.strerror}") from error
