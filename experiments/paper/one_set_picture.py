"""`docs/one_set.png` from a summary of learners.py; the same summary makes the same picture.

python experiments/paper/one_set_picture.py
"""

import dataclasses
import json
import pathlib

from learners_table import shares_by_data
from pictures import draw_heat_map, save

from obd_jax.cli import define_flags, run_main, settings_from_flags
from obd_jax.settings import option
from obd_jax.types import InvalidInputError


@dataclasses.dataclass(frozen=True)
class PictureSettings:
    """What is read and written."""

    summary: str = option(
        "docs/results/studies/one_set/pool.json", "Summary of learners.py to read."
    )
    out: str = option("docs/one_set.png", "Picture to write.")


def run(settings: PictureSettings) -> None:
    """Draw every learner's share of the teacher on every data set.

    Raises:
        InvalidInputError: there is no summary.
    """
    path = pathlib.Path(settings.summary)
    if not path.exists():
        raise InvalidInputError(f"no {path}; learners.py makes it")
    shares = shares_by_data(json.loads(path.read_text()))
    rows = {share.name: [*share.by_data.values()] for share in shares}
    save(draw_heat_map(rows, [*shares[0].by_data]), pathlib.Path(settings.out))
    print(f"written to {settings.out}")


def main() -> None:
    """Entry point."""
    run(settings_from_flags(PictureSettings))


if __name__ == "__main__":
    define_flags(PictureSettings)
    run_main(main)
