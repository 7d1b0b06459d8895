"""What a run leaves behind: the distilled set, provenance, a picture, metrics elsewhere."""

from obd_jax.artefacts.curve import draw_curve
from obd_jax.artefacts.distilled import DistilledSet, file_of, load, save
from obd_jax.artefacts.film import heading, with_text, write_gif
from obd_jax.artefacts.histograms import draw_histograms
from obd_jax.artefacts.provenance import action_bounds, provenance, software
from obd_jax.artefacts.report import Figure, report_page
from obd_jax.artefacts.snippets import Snippet, snippets
from obd_jax.artefacts.writers import WRITERS, check_writers

__all__ = [
    "WRITERS",
    "DistilledSet",
    "Figure",
    "Snippet",
    "action_bounds",
    "check_writers",
    "draw_curve",
    "draw_histograms",
    "file_of",
    "heading",
    "load",
    "provenance",
    "report_page",
    "save",
    "snippets",
    "software",
    "with_text",
    "write_gif",
]
