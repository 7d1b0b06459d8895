"""Data sets by name, wherever they are."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Callable

from obd_jax.data.bounds import bounds_of, in_bounds
from obd_jax.data.cache import default_cache
from obd_jax.data.d4rl import default_folder, file_of, load_d4rl
from obd_jax.data.embedded import embedded_rows, load_embedded
from obd_jax.data.files import SUFFIXES, load_file
from obd_jax.data.minari import is_minari_id, load_minari
from obd_jax.environments import EnvironmentSettings
from obd_jax.reporting import warn
from obd_jax.settings import OptionError, at_least, one_of, option, part
from obd_jax.types import ActionBounds, InvalidInputError, OfflineData

SOURCES = ("auto", "d4rl", "embedded", "minari")

# Rows that are recorded unless another number is asked for: half a minute's work, and enough.
FIRST_ROWS = 200_000


@dataclasses.dataclass(frozen=True)
class DataSettings:
    """Which offline data, and the environment that they were recorded in."""

    dataset: str | None = option(
        None,
        "Data set by name: walker2d-medium-expert, mujoco/hopper/medium-v0 ..., or toy. A name "
        "with -v2, such as walker2d-medium-expert-v2, stands for D4RL's own file only.",
    )
    source: str = option("auto", f"Source of a data set by name: one of {', '.join(SOURCES)}.")
    data_rows: int = option(
        FIRST_ROWS, "Rows of embedded data; 0: as many as D4RL has, which take minutes to record."
    )
    dataset_path: str | None = option(
        None,
        "Your own file or folder, in place of a data set by name: HDF5 (D4RL, robomimic, "
        "ManiSkill, Minari, d3rlpy), npz, CSV, Parquet, LeRobot; see docs/data.md.",
    )
    columns: str | None = option(
        None,
        "Columns of a CSV or Parquet table: 'observations:x,y,v_*; actions:u; rewards:r; "
        "terminals:done'.",
    )
    environment: EnvironmentSettings = part(EnvironmentSettings)
    action_low: tuple[float, ...] | None = option(
        None,
        "Lower bounds of the recorded actions, one for each dimension or one for all; actions are "
        "rescaled from the bounds to [-1, 1]. Absent: the environment's.",
    )
    action_high: tuple[float, ...] | None = option(None, "Upper bounds of the recorded actions.")

    def __post_init__(self) -> None:
        one_of("source", self.source, SOURCES)
        at_least(0, data_rows=self.data_rows)
        if self.columns is not None and self.dataset_path is None:
            raise OptionError("{columns} is for {dataset_path}")
        if (self.action_low is None) != (self.action_high is None):
            raise OptionError("give both {action_low} and {action_high}, or neither")
        _ = self.action_bounds  # Refuses what are no bounds.

    @property
    def action_bounds(self) -> ActionBounds | None:
        """Bounds given, a single one standing for all actions; None: those of the environment."""
        low, high = self.action_low, self.action_high
        if low is None or high is None:
            return None
        size = max(len(low), len(high))
        return ActionBounds(*(ends * size if len(ends) == 1 else ends for ends in (low, high)))


def _ignore(_: str) -> None:
    pass


def _silent(_: str) -> Callable[[int, int], None]:
    return lambda done, total: None


def load(
    name: str,
    source: str = "auto",
    *,
    rows: int | None = None,
    seed: int = 0,
    action_bounds: ActionBounds | None = None,
    note: Callable[[str], None] | None = None,
    progress: Callable[[str], Callable[[int, int], None]] = _silent,
) -> OfflineData:
    """Offline data by name, by Minari's id or by path.

    Args:
        name: `walker2d-medium-expert`; `walker2d-medium-expert-v2`, which is D4RL's own file and
            nothing else; an id of Minari's like `mujoco/hopper/medium-v0`; or the path of a
            file whose name ends like one of `layouts.SUFFIXES`.
        source: "d4rl": D4RL's own file, in D4RL's folder or else downloaded. "embedded": recorded
            here by policies of this package, kept in `$OBD_JAX_CACHE`. "minari": from Minari's
            store or else downloaded. "auto": D4RL's own file if it is there, else embedded;
            an id of Minari's from the store; nothing is downloaded.
        rows: of embedded data; None: as many as D4RL has.
        seed: of embedded data.
        action_bounds: of the recorded actions, which are rescaled from them to [-1, 1]; None:
            those of the environment that the data name, else [-1, 1].
        note: called with lines on where the data come from, why something takes time, and what is
            suspicious in a file; None: only the last, as Python warnings.
        progress: label -> function of (done, total), for recording and downloading.

    Returns:
        The transitions; `provenance` records which data they are.

    Raises:
        InvalidInputError: an unknown name or source, or data that are not available or unusable.
    """
    if source not in SOURCES:
        raise InvalidInputError(f"unknown source {source!r}; known: {', '.join(SOURCES)}")
    suspicious, note = note or warn, note or _ignore
    source = resolve(name, source, note)
    path = pathlib.Path(os.path.expanduser(name))
    is_file = path.suffix in SUFFIXES
    if rows is not None and source != "embedded":
        raise InvalidInputError(
            f"the number of rows can be chosen for embedded data, not for {name} from {source}"
        )
    if is_file:
        if source != "auto":
            raise InvalidInputError(f"{name} is a file and not a data set of {source}")
        return load_file(path, action_bounds=action_bounds, note=suspicious)
    if is_minari_id(name) and source not in ("auto", "minari"):
        raise InvalidInputError(f"{name} is an id of Minari's and not a data set of {source}")
    if is_minari_id(name) or source == "minari":
        found = load_minari(name, source == "minari", note)
    elif source == "d4rl":
        found = load_d4rl(name, default_folder(), note, progress)
    else:
        found = load_embedded(name, default_cache(), rows, seed, note, progress)
    return in_bounds(found, action_bounds or bounds_of(found.provenance.environment), suspicious)


def resolve(name: str, source: str, note: Callable[[str], None]) -> str:
    """The source that data by name come from, where "auto" leaves it open.

    Raises:
        InvalidInputError: data that cannot be had.
    """
    is_file = pathlib.Path(name).suffix in SUFFIXES
    if is_file or is_minari_id(name):
        return source
    if name.endswith("-v2") and source != "d4rl":
        return _only_d4rl(name, source, note)
    return _choose(name, note) if source == "auto" else source


def _only_d4rl(name: str, source: str, note: Callable[[str], None]) -> str:
    """D4RL's own file if it is there: a name with `-v2` means no other data."""
    file, plain = file_of(name, default_folder()), name.removesuffix("-v2")
    if file.is_file() and source == "auto":
        note(f"data: D4RL's own file {file}")
        return "d4rl"
    if file.is_file():
        raise OptionError(f"{name} is D4RL's own file {file}; {{source}}={source} has {plain}")
    ways = "{source}=d4rl downloads it"
    with contextlib.suppress(InvalidInputError):
        embedded_rows(plain)
        ways += f"; {plain} with {{source}}=embedded is recorded here, by policies of this package"
    raise OptionError(f"{name} is D4RL's own file, and {file} is missing: {ways}")


def _choose(name: str, note: Callable[[str], None]) -> str:
    """D4RL's own file if it is there, else data that can be recorded here."""
    file = file_of(name, default_folder())
    if file.is_file():
        note(f"data: D4RL's own file {file}")
        return "d4rl"
    try:
        embedded_rows(name)
    except InvalidInputError as error:
        raise OptionError(
            f"{file} is missing ({{source}}=d4rl downloads it), and {error}"
        ) from error
    note(f"data: embedded, by policies of this package (no {file}; source=d4rl downloads it)")
    return "embedded"
