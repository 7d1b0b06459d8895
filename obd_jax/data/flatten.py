"""Observations of several parts -> vectors, by one rule for all layouts."""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from obd_jax.types import InvalidInputError

_TUPLE_PART = re.compile(r"_index_(\d+)")  # As Minari names the parts of a tuple in HDF5.


class Flat(NamedTuple):
    """Vectors made of parts.

    array:   [rows, D].
    parts:   name of every part read, with its number of columns: "arm/position (7)".
    skipped: name of every part that is not a vector, with its shape.
    """

    array: np.ndarray
    parts: list[str]
    skipped: list[str]


def flatten(tree: Any, where: str, read: Callable[[Any], np.ndarray] = np.asarray) -> Flat:
    """Concatenates the vectors of a tree, sorted by name.

    Within a mapping keys are sorted, a mapping inside is named by its path, and parts of a tuple
    keep their order: the rule of `gymnasium.spaces.flatten` for boxes in a `Dict` space. A part of
    rank one is a column. Parts of a higher rank (images) or without numbers (text) are skipped
    and not read.

    Args:
        tree: an array [rows, D], or a mapping or tuple of such trees; HDF5 groups are mappings.
        where: what the tree is called, for errors.
        read: reads a part, which has `shape` and `dtype`.

    Raises:
        InvalidInputError: there is no vector, or parts differ in length.
    """
    arrays, parts, skipped = [], [], []
    for name, leaf in _leaves(tree, ""):
        shape, kind = np.shape(leaf), getattr(leaf, "dtype", np.dtype("O")).kind
        if len(shape) not in (1, 2) or kind not in "fiub":
            skipped.append(f"{name} {shape}" if kind in "fiub" else f"{name} (no numbers)")
            continue
        array = read(leaf)
        arrays.append(array[:, None] if array.ndim == 1 else array)
        parts.append(f"{name} ({arrays[-1].shape[1]})")
    if not arrays:
        found = ", ".join(skipped) or "nothing"
        raise InvalidInputError(f"{where} holds no vectors; found {found}")
    if len({len(array) for array in arrays}) > 1:
        lengths = ", ".join(
            f"{name} {len(array)}" for name, array in zip(parts, arrays, strict=True)
        )
        raise InvalidInputError(f"{where}: parts differ in length: {lengths}")
    if len(arrays) == 1:
        return Flat(arrays[0], parts, skipped)
    return Flat(np.concatenate(arrays, axis=1), parts, skipped)


def _leaves(tree: Any, path: str):
    """(name, leaf) of a tree, in order."""
    if isinstance(tree, Mapping):
        keys = list(tree)
        places = [_TUPLE_PART.fullmatch(key) for key in keys]
        if all(places):
            keys.sort(key=lambda key: int(key.removeprefix("_index_")))
        else:
            keys.sort()
        for key in keys:
            yield from _leaves(tree[key], f"{path}/{key}" if path else key)
    elif isinstance(tree, tuple):
        for place, part in enumerate(tree):
            yield from _leaves(part, f"{path}/{place}" if path else str(place))
    else:
        yield path or "observations", tree
