"""Runs: the folder of a run, checkpoints, and how an interrupted run resumes."""

from obd_jax.runs.checkpoints import Checkpoints, Restored
from obd_jax.runs.folder import (
    CHECKPOINTS,
    RunFolder,
    check_same,
    lock,
    read_result,
    record_inputs,
    refuse_unusable,
    write_csv,
    write_json,
)
from obd_jax.runs.resume import Saver, checkpointing, phase
from obd_jax.runs.settings import MAY_DIFFER, RunOptions, folder_of_now
from obd_jax.runs.signals import Stopped, defer_signals

__all__ = [
    "CHECKPOINTS",
    "MAY_DIFFER",
    "Checkpoints",
    "Restored",
    "RunFolder",
    "RunOptions",
    "Saver",
    "Stopped",
    "check_same",
    "checkpointing",
    "defer_signals",
    "folder_of_now",
    "lock",
    "phase",
    "read_result",
    "record_inputs",
    "refuse_unusable",
    "write_csv",
    "write_json",
]
