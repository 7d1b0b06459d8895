"""Look at recorded data before anything runs on them: what is read, and what is suspicious.

obd-jax check hopper.hdf5
obd-jax check log.csv --columns='observations:x,y,v_*; actions:u; rewards:r; terminals:done'

Exit code 0: nothing is suspicious; 1: something is; 2: the data cannot be read.
"""

import sys

from absl import flags

from obd_jax.cli.flags import define_flags, settings_from_flags
from obd_jax.cli.main import run_main
from obd_jax.pipeline.check import CheckSettings, check
from obd_jax.types import InvalidInputError


def main(arguments: list[str]) -> None:
    """Print the page."""
    if len(arguments) != 1:
        raise InvalidInputError(f"one file or folder is needed, got {len(arguments)}")
    page, suspicious = check(arguments[0], settings_from_flags(CheckSettings))
    print(page)
    if suspicious:
        sys.exit(1)


def start(about: str | None = None) -> None:
    """Run the command; `about` is the text of --help in place of this module's docstring."""
    define_flags(CheckSettings)
    flags.FLAGS.set_gnu_getopt(True)  # Flags may follow the file.
    run_main(main, passes_on=True, about=about or __doc__)
