"""What a run leaves behind: its folder, the distilled set, a picture, versions."""

from obd_jax.artefacts.checkpoint import load_checkpoint, save_checkpoint
from obd_jax.artefacts.curve import draw_curve
from obd_jax.artefacts.distilled import DistilledSet, load, save
from obd_jax.artefacts.run_folder import RunFolder, refuse_unusable
from obd_jax.artefacts.software import software

__all__ = [
    "DistilledSet",
    "RunFolder",
    "draw_curve",
    "load",
    "load_checkpoint",
    "refuse_unusable",
    "save",
    "save_checkpoint",
    "software",
]
