"""Data sets of Minari, from its local store or its server."""

import dataclasses
import hashlib
import json
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from obd_jax import environments
from obd_jax.data.flatten import flatten
from obd_jax.data.names import listed
from obd_jax.data.references import reference_returns
from obd_jax.data.transitions import q_learning_data
from obd_jax.extras import require
from obd_jax.settings import OptionError
from obd_jax.types import InvalidInputError, OfflineData, Provenance

_TYPES = ("simple", "medium", "expert")


def minari_ids(name: str) -> list[str]:
    """Minari's data sets behind a name; an id stands for itself.

    `walker2d-medium-expert` is `mujoco/walker2d/medium-v0` and `mujoco/walker2d/expert-v0`. They
    are not D4RL's: newer policies in the v5 tasks.

    Raises:
        InvalidInputError: no data set of Minari's goes by that name.
    """
    if is_minari_id(name):
        return [name]
    environment, _, kind = name.partition("-")
    environments.get(environment)
    if kind == "medium-expert":
        kinds = ["medium", "expert"]
    elif kind in _TYPES:
        kinds = [kind]
    else:
        raise InvalidInputError(
            f"Minari has no {name!r}; it has ENVIRONMENT-TYPE with TYPE in "
            f"{', '.join(_TYPES)}, medium-expert, and ids like mujoco/hopper/medium-v0"
        )
    return [f"mujoco/{environment}/{kind}-v0" for kind in kinds]


def is_minari_id(name: str) -> bool:
    """Whether a name is like `mujoco/hopper/medium-v0`."""
    base, _, number = name.rpartition("-v")
    return "/" in base and number.isdigit()


def load_minari(name: str, download: bool, note: Callable[[str], None]) -> OfflineData:
    """Data by name or id; its store is `$MINARI_DATASETS_PATH`, else `~/.minari/datasets`.

    Observations of several parts are flattened: `flatten`.

    Args:
        name: like `walker2d-medium-expert` or `mujoco/hopper/medium-v0`.
        download: whether to ask Minari's server for what the store lacks.
        note: gets a line on why something takes time, and on what is not used.

    Returns:
        The transitions, every row of every episode.

    Raises:
        InvalidInputError: Minari is not installed, no such data set, a download that fails, or
            observations without vectors or actions that are no array.
    """
    fields: dict[str, list[np.ndarray]] = {}
    recorded_in, references = [], []
    ids = minari_ids(name)
    for dataset_id in ids:
        dataset = _open(dataset_id, download, note)
        spec = dataset.spec.env_spec
        recorded_in.append(spec.id if spec else None)
        references.append(reference_returns(dataset.storage.metadata, dataset_id, note))
        rows = 0
        for episode in _episodes(dataset_id, dataset):
            found, skipped = _rows(dataset_id, episode)
            if skipped and not rows:
                note(f"{dataset_id}: skipped, as they are not vectors: {listed(skipped)}")
            for key, array in found.items():
                fields.setdefault(key, []).append(array)
            rows += len(episode.rewards)
        # https://github.com/Farama-Foundation/Minari/issues/351
        if rows != dataset.total_steps:
            raise InvalidInputError(
                f"{dataset_id}: Minari's reader gives {rows:,} of the {dataset.total_steps:,} "
                "steps; its arrow reader cuts episodes that cross a batch of rows (seen with "
                "Minari 0.5.3): record the data set with data_format='hdf5'"
            )
    if not fields:
        raise InvalidInputError(f"{name}: has no episodes")
    whole = {key: np.concatenate(arrays) for key, arrays in fields.items()}
    digest = hashlib.sha256(json.dumps(ids).encode())
    for key, array in whole.items():
        digest.update(f"{key} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    environment = recorded_in[0] if len(set(recorded_in)) == 1 else None
    offline = q_learning_data(
        whole, Provenance("minari", " + ".join(ids), digest.hexdigest(), environment)
    )
    common = references[0] if len(set(references)) == 1 else None
    return dataclasses.replace(offline, reference_returns=common)


def _open(dataset_id: str, download: bool, note: Callable[[str], None]) -> Any:
    """Minari's record of a data set."""
    minari: Any = require("minari", "minari", "Minari's data sets")
    with warnings.catch_warnings():
        # Minari recommends newer versions of what was asked for by name.
        warnings.simplefilter("ignore")
        try:
            return minari.load_dataset(dataset_id)
        except FileNotFoundError as error:
            if not download:
                raise OptionError(
                    f"{dataset_id} is not in Minari's local store; {{source}}=minari downloads it"
                ) from error
        except Exception as error:
            store = minari.storage.local.get_dataset_path(dataset_id)
            raise OptionError(
                f"{dataset_id} cannot be read: {error}; if its download was interrupted, remove "
                f"{store}; then {{source}}=minari downloads it again"
            ) from error
        note(f"downloading {dataset_id} from Minari's server")
        try:
            return minari.load_dataset(dataset_id, download=True)
        # Whatever its transport raises.
        except Exception as error:
            raise InvalidInputError(f"{dataset_id} cannot be downloaded: {error}") from error


def _episodes(dataset_id: str, dataset: Any) -> Iterator[Any]:
    """Minari's records of all episodes."""
    try:
        yield from dataset.iterate_episodes()
    # Whatever its storage raises.
    except Exception as error:
        raise InvalidInputError(f"{dataset_id} cannot be read: {error}") from error


def _rows(dataset_id: str, episode: Any) -> tuple[dict[str, np.ndarray], list[str]]:
    """An episode of T actions and T + 1 observations as T rows, and what was skipped."""
    if not isinstance(episode.actions, np.ndarray):
        raise InvalidInputError(
            f"{dataset_id}: actions are {type(episode.actions).__name__}; arrays are needed"
        )
    flat = flatten(episode.observations, f"{dataset_id}: observations")
    # float32 at once: float64 of millions of rows is a lot.
    with np.errstate(over="ignore"):  # What overflows is refused as infinite.
        observations = flat.array.astype(np.float32)
    timeouts = np.asarray(episode.truncations, bool).copy()
    # The rows of an episode that was neither ended nor cut off by the task end here all the same.
    timeouts[-1] |= not np.asarray(episode.terminations, bool)[-1]
    fields = {
        "observations": observations[:-1],
        "actions": episode.actions,
        "rewards": np.asarray(episode.rewards),
        "next_observations": observations[1:],
        "terminals": np.asarray(episode.terminations, bool),
        "timeouts": timeouts,
    }
    return fields, flat.skipped
