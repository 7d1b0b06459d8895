"""A distilled set, or its student, in the format of another library."""

import dataclasses
import pathlib
import shutil
import tempfile

import jax

from obd_jax import artefacts
from obd_jax.export import FORMATS
from obd_jax.pipeline.rescore import precision_of
from obd_jax.settings import OptionError, one_of, option


@dataclasses.dataclass(frozen=True)
class ExportSettings:
    """What is written and where.

    format: one of `FORMATS`.
    out:    new file or folder.
    seed:   of a student's initialisation.
    """

    format: str | None = option(None, f"Format: one of {', '.join(FORMATS)}. Required.")
    out: str | None = option(
        None, "New file (d4rl), or new or empty folder (all others). Required."
    )
    seed: int = option(
        0, "Seed of the student's initialisation, for numpy; closed-form students ignore it."
    )

    def __post_init__(self) -> None:
        if self.format is not None:
            one_of("format", self.format, FORMATS)


def export(path: str, settings: ExportSettings) -> str:
    """Write a set, whole or not at all; returns how the result is used.

    Args:
        path: of `distilled.npz`, or of the run folder that holds it.
        settings: what is written and where.

    Raises:
        InvalidInputError: no distilled set, something is there already, or a package is missing.
    """
    if settings.format is None or settings.out is None:
        raise OptionError("{format} and {out} are required")
    distilled = artefacts.load(path)
    out, form = pathlib.Path(settings.out).expanduser(), FORMATS[settings.format]
    empty = form.is_folder and out.is_dir() and not any(out.iterdir())
    if out.exists() and not empty:
        kind = "new or empty folder" if form.is_folder else "new file"
        raise OptionError(f"{{out}} {out} exists already; give a {kind}")
    try:
        with tempfile.TemporaryDirectory(dir=out.absolute().parent, prefix=".export-") as folder:
            # Of the same name, so that what it is called inside is right.
            temporary = pathlib.Path(folder) / out.name
            if form.is_folder:
                temporary.mkdir()
            with jax.default_matmul_precision(precision_of(distilled.card)):
                usage = form.write(distilled, temporary, jax.random.key(settings.seed))
            if empty:
                out.rmdir()
            shutil.move(temporary, out)
    except OSError as error:
        raise OptionError(f"{{out}} {out} cannot be written: {error}") from error
    return usage.replace(str(temporary), str(out))
