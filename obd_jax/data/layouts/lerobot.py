"""LeRobot's folders: meta/info.json and data/chunk-*/*.parquet, versions 2 and 3."""

import json
import pathlib

import numpy as np

from obd_jax.data.flatten import flatten
from obd_jax.data.layouts.tables import column_of, parquet_module
from obd_jax.data.names import listed
from obd_jax.data.recording import Recording, with_ends
from obd_jax.types import InvalidInputError

_INFO = pathlib.Path("meta/info.json")
# Column -> field.
_VECTORS = {
    "next.reward": "rewards",
    "next.done": "dones",
    "next.terminated": "terminations",
    "next.truncated": "truncations",
}


def is_lerobot(folder: pathlib.Path) -> bool:
    """Whether the folder is a data set of LeRobot's."""
    return (folder / _INFO).is_file()


def read_lerobot(folder: pathlib.Path) -> Recording:
    """All rows in the order of the files, which are sorted by name.

    Observations are the columns `observation.*` that are vectors, flattened; images and videos are
    skipped. An episode ends where `episode_index` changes: by a terminal where `next.done` says
    so, else by a timeout.

    Raises:
        InvalidInputError: no Parquet files, a column missing, or files that differ.
    """
    parquet = parquet_module()
    files = sorted((folder / "data").glob("*/*.parquet"))
    if not files:
        raise InvalidInputError(f"{folder} has {_INFO}, but no data/*/*.parquet")
    try:
        features = json.loads((folder / _INFO).read_text()).get("features", {})
        stored = list(parquet.read_schema(files[0]).names)
    except Exception as error:
        raise InvalidInputError(f"{folder}: cannot be read: {error}") from error
    vectors = [name for name in stored if name.startswith("observation.")]
    wanted = [*vectors, "action", *(name for name in _VECTORS if name in stored), "episode_index"]
    missing = [name for name in ("action", "episode_index") if name not in stored]
    if missing or not vectors:
        missing += [] if vectors else ["observation.state"]
        raise InvalidInputError(
            f"{files[0]} lacks {', '.join(missing)}; found {listed(stored, 40)}"
        )
    parts: dict[str, list[np.ndarray]] = {}
    for file in files:
        try:
            table = parquet.read_table(file, columns=wanted, partitioning=None)
        except Exception as error:
            raise InvalidInputError(f"{file}: cannot be read: {error}") from error
        for name in wanted:
            parts.setdefault(name, []).append(column_of(table, name, file))
    for name, arrays in parts.items():
        if len({array.shape[1:] for array in arrays}) > 1:
            raise InvalidInputError(f"{folder}: files differ in the length of {name}")
    columns = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    flat = flatten({name: columns[name] for name in vectors}, f"{folder}: observation.*")
    actions = flatten({"action": columns["action"]}, f"{folder}: action")
    fields = {"observations": flat.array, "actions": actions.array}
    fields |= {field: columns[name] for name, field in _VECTORS.items() if name in columns}
    videos = [name for name in features if name.startswith("observation.") and name not in stored]
    skipped = [*flat.skipped, *videos]
    sources = {
        "observations": ", ".join(flat.parts),
        "actions": ", ".join(actions.parts),
        **{field: name for name, field in _VECTORS.items()},
        "timeouts": "last rows of episode_index that are not done",
    }
    fields = with_ends(fields, columns["episode_index"])
    return Recording(
        "LeRobot",
        fields,
        {field: sources[field] for field in fields},
        files,
        others=[name for name in stored if name not in wanted],
        remarks=[f"skipped, as they are not vectors: {listed(skipped)}"] if skipped else [],
        by_episode=True,
    )
