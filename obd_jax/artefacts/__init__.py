"""What a run leaves behind: the distilled set, provenance, a picture, metrics elsewhere."""

from obd_jax.artefacts.curve import draw_curve
from obd_jax.artefacts.distilled import DistilledSet, load, save
from obd_jax.artefacts.provenance import provenance, software
from obd_jax.artefacts.writers import WRITERS, check_writers

__all__ = [
    "WRITERS",
    "DistilledSet",
    "check_writers",
    "draw_curve",
    "load",
    "provenance",
    "save",
    "software",
]
