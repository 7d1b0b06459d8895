"""Distilled sets as files that numpy alone can read."""

import dataclasses
import json
import pathlib
import zipfile
from typing import Any

import jax.numpy as jnp
import numpy as np

from obd_jax.types import InvalidInputError, Normalizer, SyntheticData

_ARRAYS = ("observations", "actions", "observation_mean", "observation_std")


@dataclasses.dataclass(frozen=True)
class DistilledSet:
    """A synthetic set with all that is needed to train and score a student.

    synthetic:  observations [N, D] normalised, actions [N, A].
    normalizer: statistics of the data it was distilled from.
    card:       provenance, configuration and the recommended student recipe.
    """

    synthetic: SyntheticData
    normalizer: Normalizer
    card: dict[str, Any]


def save(folder: pathlib.Path, distilled: DistilledSet) -> pathlib.Path:
    """Write `distilled.npz` and `card.json` into `folder`; returns the path of the first.

    The archive holds observations [N, D] (raw units), normalized_observations [N, D],
    actions [N, A], observation_mean [D], observation_std [D] (what observations are divided
    by, epsilon included) and the card as JSON text.
    """
    synthetic, normalizer = distilled.synthetic, distilled.normalizer
    card = json.dumps(distilled.card, indent=2, allow_nan=False)
    path = folder / "distilled.npz"
    temporary = folder / ".distilled.part.npz"
    np.savez(
        temporary,
        observations=np.asarray(normalizer.denormalize(synthetic.observations)),
        normalized_observations=np.asarray(synthetic.observations),
        actions=np.asarray(synthetic.actions),
        observation_mean=np.asarray(normalizer.mean),
        observation_std=np.asarray(normalizer.scale),
        card=np.array(card),
    )
    temporary.replace(path)
    (folder / "card.json").write_text(card + "\n")
    return path


def load(path: pathlib.Path) -> DistilledSet:
    """Read a distilled set.

    Raises:
        InvalidInputError: no such file, not a distilled set, or arrays that do not fit.
    """
    if not path.is_file():
        raise InvalidInputError(f"no distilled set at {path}")
    try:
        # Opened here, because numpy leaves a file that is no archive open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, EOFError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise InvalidInputError(f"{path} is not a distilled set: {error}") from error
    missing = [name for name in (*_ARRAYS, "card") if name not in arrays]
    if missing:
        raise InvalidInputError(f"{path} lacks {', '.join(missing)}; it has {', '.join(arrays)}")
    numbers = {name: array for name, array in arrays.items() if name != "card"}
    observations, actions, mean, std = (numbers[name] for name in _ARRAYS)
    normalized = numbers.get("normalized_observations")
    if (
        observations.ndim != 2
        or actions.ndim != 2
        or len(observations) != len(actions)
        or observations.size * actions.size == 0
        or mean.shape != observations.shape[1:]
        or std.shape != mean.shape
        or (normalized is not None and normalized.shape != observations.shape)
    ):
        shapes = {name: array.shape for name, array in numbers.items()}
        raise InvalidInputError(f"the arrays of {path} do not fit together: {shapes}")
    for name, array in numbers.items():
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise InvalidInputError(f"{path} holds {name} that are not finite numbers")
    if (std <= 0).any():
        raise InvalidInputError(f"{path} holds an observation_std that is not positive")
    try:
        card = json.loads(str(arrays["card"]))
    except ValueError as error:
        raise InvalidInputError(f"the card of {path} is not JSON: {error}") from error
    if not isinstance(card, dict):
        raise InvalidInputError(f"the card of {path} is not a JSON object")
    if normalized is None:
        normalized = (observations - mean) / std
    return DistilledSet(
        SyntheticData(jnp.asarray(normalized, jnp.float32), jnp.asarray(actions, jnp.float32)),
        Normalizer(jnp.asarray(mean, jnp.float32), jnp.asarray(std, jnp.float32)),
        card,
    )
