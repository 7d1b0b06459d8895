"""One array per field, a row per step: D4RL's HDF5 files, OGBench's and other npz files."""

import pathlib

import h5py
import numpy as np

from obd_jax.data.episodes import FLAGS, MASKS, VALIDS
from obd_jax.data.hdf5 import NEEDED, array_of, opened
from obd_jax.data.names import ALL_SPELLINGS, fields_among, listed
from obd_jax.data.recording import Recording
from obd_jax.types import InvalidInputError


def read_flat_hdf5(path: pathlib.Path) -> Recording:
    """An HDF5 file in D4RL's layout, of any of its tasks, or one with other spellings.

    Observations are read as they are stored. Those of antmaze, maze2d and adroit are vectors, of
    which the goal is no part: `infos/goal` is not appended. Kitchen's hold the goal already.

    Raises:
        InvalidInputError: not HDF5, or a key missing; the message says what was found.
    """
    with opened(path) as file:
        members = {key: file.get(key) for key in sorted(file.keys())}
        arrays = [key for key, member in members.items() if isinstance(member, h5py.Dataset)]
        sources = fields_among(arrays)
        missing = [name for name in NEEDED if name not in sources]
        if any(name in FLAGS for name in sources):
            missing = [name for name in missing if name != "terminals"]
        if missing:
            raise InvalidInputError(
                f"{path}: lacks {', '.join(missing)}; needed: {', '.join(NEEDED)}; found "
                f"{listed(members)}; other known layouts: robomimic (data/demo_0), "
                "ManiSkill (traj_0), Minari (episode_0) and d3rlpy (observations_0)"
            )
        fields = {field: array_of(members[name]) for field, name in sources.items()}
        others = [name for name in members if name not in sources.values()]
    return _checked(Recording("d4rl-layout hdf5", fields, sources, [path], others))


def read_npz(path: pathlib.Path) -> Recording:
    """An npz file of arrays by name, of which only observations and actions are needed.

    Raises:
        InvalidInputError: not an npz file, or a key missing.
    """
    try:
        # Opened here: NumPy does not close a file that it finds damaged.
        with path.open("rb") as content, np.load(content) as file:
            sources = fields_among(file.files)
            fields = {field: file[name] for field, name in sources.items()}
            found = list(file.files)
    # Damage shows as many things: of the archive, of compression, of the header of an array.
    except Exception as error:
        raise InvalidInputError(f"{path}: not an npz file: {error}") from error
    for name in ("observations", "actions"):
        if name not in fields:
            raise InvalidInputError(
                f"{path}: lacks {name}; known: {', '.join(ALL_SPELLINGS)}; found {listed(found)}"
            )
    others = [name for name in found if name not in sources.values()]
    return _checked(Recording("npz", fields, sources, [path], others))


def _checked(recording: Recording) -> Recording:
    """The recording, as it is to be read by what its arrays show."""
    fields, remarks = dict(recording.fields), []
    following, shape = fields.get("next_observations"), np.shape(fields["observations"])
    if following is not None and np.shape(following) != shape:
        remarks.append(
            f"next_observations have shape {np.shape(following)}, observations {shape}: not "
            "used, the next observation is the following row"
        )
        del fields["next_observations"]
    if (
        "terminals" in fields
        and "qpos" in recording.others
        and not {"rewards", "timeouts", MASKS, VALIDS} & fields.keys()
    ):
        remarks.append(
            "without rewards and with qpos, as in OGBench: terminals are the ends of "
            "trajectories, whose last rows are no transitions"
        )
        fields["timeouts"] = fields.pop("terminals")
    sources = {name: recording.sources.get(name, "terminals") for name in fields}
    return recording._replace(fields=fields, sources=sources, remarks=remarks)
