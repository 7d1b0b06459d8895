"""What all exports of a set share: its pairs in the environment's units, and its name."""

import pathlib
import re
from typing import Any, NamedTuple

import numpy as np

from obd_jax.artefacts import DistilledSet
from obd_jax.types import ActionBounds


class Pairs(NamedTuple):
    """A distilled set in the units of the environment.

    observations: [N, D] float32.
    actions:      [N, A] float32, within the bounds.
    bounds:       of the actions.
    """

    observations: np.ndarray
    actions: np.ndarray
    bounds: ActionBounds


def pairs_of(distilled: DistilledSet) -> Pairs:
    """Pairs as they are acted on; free actions beyond the bounds are clipped."""
    raw = distilled.normalizer.denormalize(distilled.synthetic.observations)
    actions = np.clip(np.asarray(distilled.synthetic.actions), -1, 1)
    bounds = bounds_of(distilled)
    if not bounds.is_unit:
        actions = bounds.denormalize(actions)
    return Pairs(np.asarray(raw, np.float32), actions.astype(np.float32), bounds)


def bounds_of(distilled: DistilledSet) -> ActionBounds:
    """Bounds of actions in the environment's units."""
    size = distilled.synthetic.actions.shape[1]
    return distilled.action_bounds or ActionBounds((-1.0,) * size, (1.0,) * size)


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
