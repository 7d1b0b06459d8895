"""What all exports of a set share: its pairs in raw units, and its name."""

import pathlib
import re
from typing import Any, NamedTuple

import numpy as np

from obd_jax.artefacts import DistilledSet


class Pairs(NamedTuple):
    """A distilled set in raw units.

    observations: [N, D] float32.
    actions:      [N, A] float32, within [-1, 1].
    """

    observations: np.ndarray
    actions: np.ndarray


def pairs_of(distilled: DistilledSet) -> Pairs:
    """Pairs as they are acted on; free actions beyond the bounds are clipped."""
    raw = distilled.normalizer.denormalize(distilled.synthetic.observations)
    actions = np.clip(np.asarray(distilled.synthetic.actions), -1, 1)
    return Pairs(np.asarray(raw, np.float32), actions.astype(np.float32))


def origin_of(distilled: DistilledSet) -> dict[str, Any]:
    """The provenance of a set's card; empty where it has none."""
    found = distilled.card.get("provenance")
    return found if isinstance(found, dict) else {}


def name_of(distilled: DistilledSet) -> str:
    """What the data of the set are called: a name, or of a file its stem."""
    data = origin_of(distilled).get("data")
    name = data.get("name") if isinstance(data, dict) else None
    stem = pathlib.PurePath(str(name)).stem if name else "data"
    return re.sub(r"[^\w.-]+", "-", stem).strip("-.") or "data"
