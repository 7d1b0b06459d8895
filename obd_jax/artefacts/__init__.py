"""What a run leaves behind: its folder, the distilled set, a picture, versions."""

from obd_jax.artefacts.checkpoint import Checkpoints, Restored
from obd_jax.artefacts.curve import draw_curve
from obd_jax.artefacts.distilled import DistilledSet, load, save
from obd_jax.artefacts.run_folder import (
    CHECKPOINTS,
    RunFolder,
    alone,
    check_same,
    pin,
    refuse_unusable,
    write_json,
)
from obd_jax.artefacts.software import software
from obd_jax.artefacts.writers import WRITERS, check_writers

__all__ = [
    "CHECKPOINTS",
    "WRITERS",
    "Checkpoints",
    "DistilledSet",
    "Restored",
    "RunFolder",
    "alone",
    "check_same",
    "check_writers",
    "draw_curve",
    "load",
    "pin",
    "refuse_unusable",
    "save",
    "software",
    "write_json",
]
