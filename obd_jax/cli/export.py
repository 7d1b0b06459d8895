"""Write a distilled set, or its fitted student, in the format of another library.

obd-jax export runs/hopper --format=numpy --out=policy
obd-jax export runs/hopper/distilled.npz --format=d4rl --out=hopper.hdf5
"""

from absl import flags

from obd_jax.cli.flags import define_flags, settings_from_flags
from obd_jax.cli.main import run_main
from obd_jax.pipeline.export import ExportSettings, export
from obd_jax.types import InvalidInputError


def main(arguments: list[str]) -> None:
    """Write and say how the result is used."""
    if len(arguments) != 1:
        raise InvalidInputError(f"one run folder or distilled.npz is needed, got {len(arguments)}")
    settings = settings_from_flags(ExportSettings)
    usage = export(arguments[0], settings)
    print(f"written to {settings.out}\n{usage}")


def start(about: str | None = None) -> None:
    """Run the command; `about` is the text of --help in place of this module's docstring."""
    define_flags(ExportSettings)
    flags.FLAGS.set_gnu_getopt(True)  # Flags may follow the set.
    run_main(main, passes_on=True, about=about or __doc__)
