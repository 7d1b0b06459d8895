"""A distilled set as an HDF5 file in D4RL's layout."""

import json
import pathlib

import numpy as np

from obd_jax.artefacts import DistilledSet
from obd_jax.data.hdf5 import write_hdf5
from obd_jax.export.pairs import pairs_of
from obd_jax.types import Key


def write_d4rl(distilled: DistilledSet, path: pathlib.Path, key: Key) -> str:
    """Writes pairs as episodes of one step: rewards are 0 and every row is a terminal.

    Next observations are the observations, which nothing reads behind a terminal. The card is the
    attribute `card`. Nothing in such a file is for a critic to learn from.

    Args:
        distilled: the set.
        path: of the file, new.
        key: not used.

    Returns:
        How it is used, in a line.
    """
    del key
    observations, actions, _ = pairs_of(distilled)
    rows = len(actions)
    fields = {
        "observations": observations,
        "actions": actions,
        "rewards": np.zeros(rows, np.float32),
        "next_observations": observations,
        "terminals": np.ones(rows, bool),
        "timeouts": np.zeros(rows, bool),
    }
    write_hdf5(path, fields, {"card": json.dumps(distilled.card)})
    return f"h5py.File({str(path)!r})['observations']"
