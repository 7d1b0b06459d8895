"""d3rlpy's `ReplayBuffer.dump`, version 2: observations_0, actions_0, rewards_0, terminated_0."""

import pathlib
import re

import h5py
import numpy as np

from obd_jax.data.flatten import flatten
from obd_jax.data.hdf5 import array_of, numbered
from obd_jax.data.recording import Recording, joined
from obd_jax.types import InvalidInputError

_PART = re.compile(r"observations_0(_\d+)?")


def is_d3rlpy(file: h5py.File) -> bool:
    """Whether the file holds the first episode of such a dump."""
    return any(_PART.fullmatch(name) for name in file)


def read_d3rlpy(path: pathlib.Path, file: h5py.File) -> Recording:
    """All episodes by their numbers; a tuple of observations is flattened.

    An episode says by `terminated_N` whether its last row is a terminal; else that is a timeout,
    whose next observation is not known, so that the row is dropped, as by d3rlpy.

    Raises:
        InvalidInputError: an episode lacks one of the arrays.
    """

    def episode(name: str):
        number = name.removeprefix("terminated_")
        where = f"{path}: episode {number}"
        for key in ("actions", "rewards"):
            if f"{key}_{number}" not in file:
                raise InvalidInputError(f"{where} of a dump by d3rlpy lacks {key}_{number}")
        places = numbered(file, f"observations_{number}_")
        whole = file.get(f"observations_{number}")
        observations = tuple(file[place] for place in places) if whole is None else whole
        actions = array_of(file[f"actions_{number}"])
        terminals = np.zeros(len(actions), bool)
        terminals[-1:] = bool(array_of(file[name]))
        return where, {
            "observations": flatten(observations, f"{where}: observations", array_of).array,
            "actions": actions,
            "rewards": array_of(file[f"rewards_{number}"]),
            "terminals": terminals,
        }

    names = numbered(file, "terminated_")
    if not names:
        raise InvalidInputError(f"{path}: a dump by d3rlpy without terminated_0")
    fields = joined(map(episode, names))
    sources = {
        "terminals": "terminated_N",
        "timeouts": "last rows of episodes that are not terminated",
    }
    return Recording(
        "d3rlpy hdf5",
        fields,
        {field: sources.get(field, f"{field}_N") for field in fields},
        [path],
        by_episode=True,
    )
