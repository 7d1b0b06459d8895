"""Score a distilled set again: train students on it and roll them out.

obd-jax evaluate --path=runs/hopper/distilled.npz --students=20

The student is that of the set's card; options of the student that are given change it. The defaults
below are for a student other than the card's.
"""

from obd_jax.cli.flags import define_flags, given_options, settings_from_flags
from obd_jax.cli.main import run_main
from obd_jax.pipeline import RescoreSettings, rescore
from obd_jax.pipeline.scores import table
from obd_jax.students import StudentSettings


def main() -> None:
    """Score and print the table."""
    settings = settings_from_flags(RescoreSettings)
    results = rescore(settings, given_options(StudentSettings))
    print(table(results["returns"], results["unit"]))
    if settings.out is not None:
        print(f"written to {settings.out}")


def start(about: str | None = None) -> None:
    """Run the command; `about` is the text of --help in place of this module's docstring."""
    define_flags(RescoreSettings)
    define_flags(StudentSettings)
    run_main(main, about=about or __doc__)
