"""Distilled sets and fitted students for other libraries: one writer for each format."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from obd_jax.artefacts import DistilledSet
from obd_jax.export.d4rl import write_d4rl
from obd_jax.export.huggingface import write_huggingface
from obd_jax.export.minari import write_minari
from obd_jax.export.numpy_policy import write_numpy
from obd_jax.types import Key


class Format(NamedTuple):
    """A format.

    write:     (set, path, key of a student's initialisation) -> how the result is used, in a line.
    is_folder: whether the path is that of a folder, which is there and empty; else of a new file.
    """

    write: Callable[[DistilledSet, Path, Key], str]
    is_folder: bool


FORMATS = {
    "minari": Format(write_minari, True),
    "d4rl": Format(write_d4rl, False),
    "huggingface": Format(write_huggingface, True),
    "numpy": Format(write_numpy, True),
}

__all__ = ["FORMATS", "Format"]
