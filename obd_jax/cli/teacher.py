"""Train a teacher, pi* and q*, on offline data; the same command resumes where it stopped.

obd-jax teacher --dataset=walker2d-medium-expert --out=runs/teacher
"""

import dataclasses
import pathlib
import sys

from obd_jax.cli.flags import define_flags, settings_from_flags
from obd_jax.cli.main import run_main, show_resume_command
from obd_jax.data import DataSettings
from obd_jax.pipeline import TrainingSettings, train_in
from obd_jax.pipeline.problem import load_data
from obd_jax.pipeline.teacher_training import training_summary
from obd_jax.reporting import CONSOLE
from obd_jax.settings import OptionError, option, part, to_options
from obd_jax.types import DivergedError


@dataclasses.dataclass(frozen=True)
class Command:
    """A training: where, on which data, and how."""

    out: str | None = option(None, "Folder for teacher, checkpoints and curve. Required.")
    data: DataSettings = part(DataSettings, "data")
    training: TrainingSettings = part(TrainingSettings, "training")


def main() -> None:
    """Train and print the summary."""
    settings = settings_from_flags(Command)
    if settings.out is None:
        raise OptionError("{out} is required")
    folder = pathlib.Path(settings.out)
    offline, environment = load_data(settings.data, CONSOLE)
    try:
        with show_resume_command(folder):
            origin = to_options(settings.data)
            results = train_in(folder, settings.training, environment, offline, CONSOLE, origin)
    except DivergedError as error:
        sys.exit(f"error: {error}")
    except OSError as error:  # Of a disk that is full, most often.
        sys.exit(f"error: {error}; checkpoints are kept, and the same command resumes from them")
    print(training_summary(results))
    print(f"written to {folder} (the teacher: teacher.npz)")


def start(about: str | None = None) -> None:
    """Run the command; `about` is the text of --help in place of this module's docstring."""
    define_flags(Command)
    run_main(main, about=about or __doc__)
