"""Files and folders of recorded behaviour -> transitions."""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Callable

from obd_jax.data.arrays import recorded_data
from obd_jax.data.bounds import in_bounds
from obd_jax.data.cache import sha256
from obd_jax.data.episodes import report_unread
from obd_jax.data.layouts import SUFFIXES, read_recording
from obd_jax.data.recording import Recording, closed
from obd_jax.reporting import warn
from obd_jax.types import ActionBounds, OfflineData, Provenance

__all__ = ["SUFFIXES", "load_file", "provenance_of"]


def load_file(
    path: str | os.PathLike,
    *,
    columns: str | None = None,
    action_bounds: ActionBounds | None = None,
    note: Callable[[str], None] = warn,
) -> OfflineData:
    """Reads a recording of any layout of `docs/data.md`, recognised by its content.

    The rules are those of `from_arrays`, so that the same arrays are the same data from HDF5, npz
    and memory: `next_observations` are used where the file has as many as observations. D4RL's own
    reader ignores them; so does `data.load` for D4RL's own files. If a layout marks which rows
    form an episode, its last row is an end: a timeout unless a flag marks it as a terminal.

    Args:
        path: file or folder; actions within the bounds; any real number type.
        columns: what the columns of a CSV or Parquet table are, like
            `observations:x,y,v_*; actions:u; rewards:r; terminals:done`.
        action_bounds: of the actions in the file, which are then rescaled to [-1, 1]; None:
            [-1, 1].
        note: called with a line on how an unusual layout was read and on each suspicious finding;
            by default a Python warning.

    Returns:
        The transitions, float32; `provenance.sha256` is the hash of the file's bytes, or of the
        hashes of all files of a folder.

    Raises:
        InvalidInputError: no such file, one that is damaged or of no known layout, or contents
            that `from_arrays` refuses. The message names the path.
    """
    path = pathlib.Path(path)
    recording = read_recording(path, columns)
    for remark in recording.remarks:
        note(f"{path}: {remark}")
    report_unread(recording.others, str(path), note)
    fields = closed(recording.fields) if recording.by_episode else recording.fields
    recorded = recorded_data(fields, provenance_of(path, recording), note)
    recorded = dataclasses.replace(recorded, reference_returns=recording.reference_returns)
    return in_bounds(recorded, action_bounds, note)


def provenance_of(path: pathlib.Path, recording: Recording) -> Provenance:
    """Where a recording comes from, with the hash of the bytes of its files."""
    if recording.files == [path]:
        digest = sha256(path)
    else:
        names = {file: file.relative_to(path).as_posix() for file in recording.files}
        hashes = "".join(f"{name} {sha256(file)}\n" for file, name in names.items())
        digest = hashlib.sha256(hashes.encode()).hexdigest()
    return Provenance(recording.layout, str(path), digest, recording.environment)
