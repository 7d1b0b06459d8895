"""D4RL's own files by name: where D4RL itself keeps them, and where they are downloaded from."""

import os
import pathlib
from collections.abc import Callable

from obd_jax import environments
from obd_jax.data.cache import locked, sha256
from obd_jax.data.download import download
from obd_jax.data.hdf5 import read_hdf5
from obd_jax.data.transitions import q_learning_data
from obd_jax.types import OfflineData, Provenance

_URL = "http://rail.eecs.berkeley.edu/datasets/offline_rl"


def default_folder() -> pathlib.Path:
    """`$D4RL_DATASET_DIR`, else `~/.d4rl/datasets`: D4RL's own rule."""
    return pathlib.Path(os.environ.get("D4RL_DATASET_DIR") or "~/.d4rl/datasets").expanduser()


def file_of(name: str, folder: pathlib.Path) -> pathlib.Path:
    """Where the v2 file of a data set like `walker2d-medium-expert` belongs.

    Raises:
        InvalidInputError: an unknown name.
    """
    environment, kind = environments.parse_dataset(name)
    return folder / f"{environment.name}_{kind.replace('-', '_')}-v2.hdf5"


def url_of(name: str) -> str:
    """Address of the v2 file, on the mirror `$OBD_JAX_D4RL_URL` if that is set.

    Raises:
        InvalidInputError: an unknown name.
    """
    base = os.environ.get("OBD_JAX_D4RL_URL") or _URL
    return f"{base.rstrip('/')}/gym_mujoco_v2/{file_of(name, pathlib.Path()).name}"


def load_d4rl(
    name: str,
    folder: pathlib.Path,
    note: Callable[[str], None],
    progress: Callable[[str], Callable[[int, int], None]],
) -> OfflineData:
    """D4RL's own data by D4RL's own rule, downloaded unless the file is there.

    The rule is that of `d4rl.qlearning_dataset` (Fu et al. 2020, arXiv 2004.07219): the next
    observation is the following row, rows with a timeout are dropped, the last row is lost, and
    `next_observations` in the file is ignored.

    Args:
        name: like `walker2d-medium-expert`.
        folder: of D4RL's files.
        note: gets a line on why something takes time.
        progress: label -> function of (bytes received, bytes).

    Raises:
        InvalidInputError: an unknown name, a download that fails, or a file that cannot be used.
    """
    path = file_of(name, folder)
    if not path.is_file():
        with locked(path, note):
            if not path.is_file():
                url = url_of(name)
                note(f"downloading {url} to {path}")
                download(url, path, check=read_hdf5, progress=progress(f"{path.name}, bytes"))
    environment, _ = environments.parse_dataset(name)
    recorded_in = (environment.gymnasium_id or "").replace("-v4", "-v2")
    fields = read_hdf5(path).fields
    return q_learning_data(fields, Provenance("d4rl", str(path), sha256(path), recorded_in))
