"""Scores of a set with any students, by options of both."""

import pathlib
from typing import Any

from obd_jax.pipeline import RescoreSettings, rescore
from obd_jax.settings import from_options, options_of


def score_with(path: pathlib.Path, options: dict[str, Any]) -> dict[str, Any]:
    """Results of `rescore` for a set.

    Args:
        path: of the set.
        options: of `RescoreSettings`, and of the student where it is not the card's.
    """
    own = options_of(RescoreSettings)
    chosen = {name: value for name, value in options.items() if name in own}
    student = {name: value for name, value in options.items() if name not in own}
    return rescore(from_options(RescoreSettings, {"path": str(path), **chosen}), student)
