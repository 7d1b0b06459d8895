"""HDF5 files with a group for every episode: those of robomimic, ManiSkill and Minari."""

import contextlib
import json
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import h5py
import numpy as np

from obd_jax.data.flatten import flatten
from obd_jax.data.hdf5 import array_of, numbered
from obd_jax.data.names import listed
from obd_jax.data.recording import Recording, joined
from obd_jax.data.references import reference_returns
from obd_jax.types import InvalidInputError


class Grouped(NamedTuple):
    """How a library stores episodes.

    name:         of the layout.
    root:         group of the episodes; "": the file.
    prefix:       of the names of episodes, before their numbers.
    observations: an array or a group of T rows, or of T + 1 with the last observation.
    with_last:    whether T + 1.
    following:    next observations, where there are some.
    vectors:      rewards and flags, [T] each, as fields are called.
    advice:       how an episode gets what it lacks.
    environment:  path -> Gymnasium's id of the task, where a file beside it names one.
    metadata:     path -> what a file beside it says of the data set, in Minari's words.
    """

    name: str
    root: str
    prefix: str
    observations: str
    with_last: bool
    following: str
    vectors: tuple[str, ...]
    advice: str = ""
    environment: Callable[[pathlib.Path], str | None] = lambda path: None
    metadata: Callable[[pathlib.Path], dict[str, Any]] = lambda path: {}


def _minari_metadata(path: pathlib.Path) -> dict[str, Any]:
    """Of `metadata.json`; empty where it is not."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        return dict(json.loads((path.parent / "metadata.json").read_text()))
    return {}


def _minari_environment(path: pathlib.Path) -> str | None:
    """Of `metadata.json`, where it is."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return json.loads(_minari_metadata(path)["env_spec"])["id"]
    return None


def _maniskill_environment(path: pathlib.Path) -> str | None:
    """Of the JSON file of the same name."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return json.loads(path.with_suffix(".json").read_text())["env_info"]["env_id"]
    return None


GROUPED = (
    Grouped(
        "robomimic hdf5",
        *("data", "demo_", "obs", False, "next_obs", ("rewards", "dones")),
        "robomimic's dataset_states_to_obs.py adds observations to recorded states",
    ),
    Grouped(
        "ManiSkill hdf5",
        *("", "traj_", "obs", True, "", ("rewards", "terminated", "truncated")),
        "ManiSkill's replay_trajectory with --obs-mode state --save-traj adds observations",
        _maniskill_environment,
    ),
    Grouped(
        "Minari hdf5",
        *("", "episode_", "observations", True, "", ("rewards", "terminations", "truncations")),
        environment=_minari_environment,
        metadata=_minari_metadata,
    ),
)


def layout_of(file: h5py.File) -> Grouped | None:
    """The layout of a file, if it is one of `GROUPED`."""
    for layout in GROUPED:
        root = file.get(layout.root) if layout.root else file
        if isinstance(root, h5py.Group) and numbered(root, layout.prefix):
            return layout
    return None


def _is_empty(member: h5py.Group | h5py.Dataset) -> bool:
    """Whether there is nothing in a member, as where observations were not recorded."""
    return not len(member) if isinstance(member, h5py.Group) else not member.size


def read_grouped(path: pathlib.Path, file: h5py.File, layout: Grouped) -> Recording:
    """All episodes by their numbers; observations of several parts are flattened.

    Next observations are used where all episodes have them.

    Raises:
        InvalidInputError: an episode lacks observations or actions, or episodes differ.
    """
    root = file[layout.root] if layout.root else file
    names = numbered(root, layout.prefix)
    with_next = bool(layout.following) and all(layout.following in root[name] for name in names)
    parts: list[str] = []
    skipped: list[str] = []

    def episode(name: str):
        group = root[name]
        where = f"{path}: {group.name.lstrip('/')}"
        for key in (layout.observations, "actions"):
            if key not in group or _is_empty(group[key]):
                raise InvalidInputError(
                    f"{where}, as of {layout.name}, has no {key}; found {listed(group)}"
                    + (f"; {layout.advice}" if layout.advice else "")
                )
        flat = flatten(group[layout.observations], f"{where}/{layout.observations}", array_of)
        parts[:], skipped[:] = flat.parts, flat.skipped
        fields = {"observations": flat.array, "actions": array_of(group["actions"])}
        rows, steps = len(flat.array), len(np.atleast_1d(fields["actions"]))
        if layout.with_last and rows == steps:
            raise InvalidInputError(
                f"{where} has {rows} observations and as many actions; in {layout.name} there is "
                "one observation more, the last"
            )
        if with_next:
            key = layout.following
            fields["next_observations"] = flatten(group[key], f"{where}/{key}", array_of).array
        return where, fields | {key: array_of(group[key]) for key in layout.vectors if key in group}

    fields = joined(map(episode, names))
    sources = {
        "observations": f"{layout.observations}: {', '.join(parts)}",
        "next_observations": layout.following or f"{layout.observations}, one row on",
        "timeouts": f"last rows of {layout.prefix}N that no flag calls an end of the environment",
    }
    remarks = [f"skipped, as they are not vectors: {listed(skipped)}"] if skipped else []
    references = reference_returns(layout.metadata(path), "metadata.json", remarks.append)
    return Recording(
        layout.name,
        fields,
        {field: sources.get(field, field) for field in fields},
        [path],
        remarks=remarks,
        by_episode=True,
        environment=layout.environment(path),
        reference_returns=references,
    )
