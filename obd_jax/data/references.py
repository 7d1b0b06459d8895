"""Reference returns that a data set of Minari's comes with."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np


def reference_returns(
    metadata: Mapping[str, Any], where: str, note: Callable[[str], None]
) -> tuple[float, float] | None:
    """Returns that score 0 and 100, as `minari.get_normalized_score` reads them.

    Args:
        metadata: of the data set.
        where: what the data are called.
        note: gets a line on scores that cannot be used.

    Returns:
        The lower one first; None: there are none, or none that can be used.
    """
    given = [metadata.get(name) for name in ("ref_min_score", "ref_max_score")]
    if given == [None, None]:
        return None
    numbers = [float(value) for value in given if isinstance(value, int | float)]
    if len(numbers) == 2 and np.isfinite(numbers).all() and numbers[0] < numbers[1]:
        return numbers[0], numbers[1]
    note(
        f"{where}: its reference scores must be two finite numbers, the lower first, but are "
        f"{given[0]} and {given[1]}: not used"
    )
    return None
