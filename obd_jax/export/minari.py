"""A distilled set as a data set of Minari."""

import contextlib
import json
import os
import pathlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from obd_jax.artefacts import DistilledSet
from obd_jax.export.pairs import name_of, origin_of, pairs_of
from obd_jax.extras import require
from obd_jax.types import Key

_STORE = "MINARI_DATASETS_PATH"


def write_minari(distilled: DistilledSet, folder: pathlib.Path, key: Key) -> str:
    """Writes pairs as episodes of one step, which end by a termination and earn 0.

    Args:
        distilled: the set.
        folder: that is there, empty: it becomes a store with this data set alone.
        key: not used.

    Returns:
        How it is used, in a line.

    Raises:
        InvalidInputError: Minari is not installed.
    """
    import gymnasium  # Here, as commands that write nothing of Minari's do without it.

    del key
    minari: Any = require("minari", "minari", "Minari's data sets")
    collector: Any = require("minari.data_collector", "minari", "Minari's data sets")
    observations, actions, bounds = pairs_of(distilled)
    dataset_id = f"distilled/{name_of(distilled).replace('.', '-')}-v0"
    buffers = [
        collector.EpisodeBuffer(
            id=number,
            # Nothing follows; Minari's episodes have one observation more than actions.
            observations=np.stack([observation, observation]),
            actions=action[None],
            rewards=[0.0],
            terminations=[True],
            truncations=[False],
        )
        for number, (observation, action) in enumerate(zip(observations, actions, strict=True))
    ]
    low, high = np.array(bounds.low, np.float32), np.array(bounds.high, np.float32)
    # Minari asks for an author and a link.
    with _store(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        minari.create_dataset_from_buffers(
            dataset_id,
            buffers,
            observation_space=gymnasium.spaces.Box(
                -np.inf, np.inf, observations.shape[1:], np.float32
            ),
            action_space=gymnasium.spaces.Box(low, high, dtype=np.float32),
            algorithm_name="offline behaviour distillation (obd_jax)",
            description=f"{len(actions)} synthetic pairs of observation and action; "
            f"provenance: {json.dumps(origin_of(distilled))}",
            data_format="hdf5",
        )
    return f"{_STORE}={folder} python -c \"import minari; minari.load_dataset('{dataset_id}')\""


@contextlib.contextmanager
def _store(folder: pathlib.Path) -> Iterator[None]:
    """Inside, Minari keeps data sets in this folder."""
    before = os.environ.get(_STORE)
    os.environ[_STORE] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[_STORE]
        else:
            os.environ[_STORE] = before
