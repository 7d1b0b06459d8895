"""D4RL files by name, in the folder where D4RL itself keeps them."""

import os
import pathlib

from obd_jax.data.environments import environment_of
from obd_jax.types import InvalidInputError


def default_folder() -> pathlib.Path:
    """`$D4RL_DATASET_DIR/datasets`, else `~/.d4rl/datasets`: D4RL's own rule."""
    base = os.environ.get("D4RL_DATASET_DIR")
    return (pathlib.Path(base) if base else pathlib.Path.home() / ".d4rl") / "datasets"


def find_file(name: str, folder: pathlib.Path) -> pathlib.Path:
    """Path of the D4RL v2 file of a data set like `walker2d-medium-expert`.

    Raises:
        InvalidInputError: an unknown name, or no such file.
    """
    environment = environment_of(name).name
    kind = name.removesuffix("-v2").removeprefix(f"{environment}-")
    path = folder / f"{environment}_{kind.replace('-', '_')}-v2.hdf5"
    if not path.is_file():
        raise InvalidInputError(
            f"data set {name!r} is known, but {path} does not exist; put D4RL's file there or "
            f"give any D4RL-layout file with --dataset_path"
        )
    return path
