"""Distilled sets as files that numpy alone can read."""

import dataclasses
import json
import os
import pathlib
import zipfile
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from obd_jax.evaluation import trained_policy
from obd_jax.students import Recipe, from_card
from obd_jax.types import ActionBounds, InvalidInputError, Key, Normalizer, SyntheticData

_ARRAYS = ("observations", "actions", "observation_mean", "observation_scale")

# Of the scale in sets of before, and still written for their readers.
_OLD_SCALE = "observation_std"


@dataclasses.dataclass(frozen=True)
class DistilledSet:
    """A synthetic set with everything that is needed to train and score a student.

    synthetic:  observations [N, D] normalised, actions [N, A] in [-1, 1].
    normalizer: statistics of the data it was distilled from.
    card:       provenance, configuration and the recommended student recipe.
    """

    synthetic: SyntheticData
    normalizer: Normalizer
    card: dict[str, Any]

    @property
    def recipe(self) -> Recipe:
        """The student that the card recommends.

        Raises:
            InvalidInputError: the card names none, or values that cannot be used.
        """
        card = self.card.get("student")
        if not isinstance(card, dict):
            raise InvalidInputError("the set's card names no student")
        return from_card(card)

    @property
    def action_bounds(self) -> ActionBounds | None:
        """What -1 and 1 stand for in the environment's units, as the card says; None: themselves.

        Raises:
            InvalidInputError: what the card says are no bounds.
        """
        provenance = self.card.get("provenance")
        found = provenance.get("action_bounds") if isinstance(provenance, dict) else None
        if found is None:
            return None
        try:
            return ActionBounds(tuple(found["low"]), tuple(found["high"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInputError(f"the set's card has no action bounds: {found}") from error

    def policy(self, key: Key | None = None) -> Callable[[Any], Any]:
        """The recommended student, trained on the set now, as a function of raw observations.

        Args:
            key: of its initialisation; None: key 0. Students in closed form have none.

        Returns:
            observations [..., D] -> actions [..., A] in the environment's units, in NumPy for
            NumPy and in JAX for JAX.
        """
        student = self.recipe.student(self.synthetic.actions.shape[1])
        key = jax.random.key(0) if key is None else key
        return trained_policy(key, student, self.synthetic, self.normalizer, self.action_bounds)


def save(folder: str | os.PathLike, distilled: DistilledSet) -> pathlib.Path:
    """Write `distilled.npz` and `card.json` into `folder`; returns the path of the first.

    The archive holds observations [N, D] (raw units), normalized_observations [N, D],
    actions [N, A] in [-1, 1], observation_mean [D], observation_scale [D] and the card as JSON
    text. Observations minus the mean are divided by the scale: the standard deviation plus 1e-3 if
    a column varies (`data.normalizer`). Older readers find it as observation_std, its former name.
    """
    folder = pathlib.Path(folder)
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
        observation_scale=np.asarray(normalizer.scale),
        observation_std=np.asarray(normalizer.scale),
        card=np.array(card),
    )
    temporary.replace(path)
    (folder / "card.json").write_text(card + "\n")
    return path


def file_of(path: str | os.PathLike) -> pathlib.Path:
    """The file of a distilled set: `distilled.npz`, or that of the run folder that holds it.

    Raises:
        InvalidInputError: no such file.
    """
    path = pathlib.Path(path).expanduser()
    if path.is_dir():
        path = path / "distilled.npz"
    if not path.is_file():
        raise InvalidInputError(f"no distilled set at {path}")
    return path


def load(path: str | os.PathLike) -> DistilledSet:
    """Read a distilled set: `distilled.npz`, or the run folder that holds it.

    Raises:
        InvalidInputError: no such file, not a distilled set, or arrays that do not fit.
    """
    path = file_of(path)
    try:
        # Opened here, because numpy leaves a file that is no archive open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, EOFError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise InvalidInputError(f"{path} is not a distilled set: {error}") from error
    if "observation_scale" not in arrays and _OLD_SCALE in arrays:
        arrays["observation_scale"] = arrays[_OLD_SCALE]
    missing = [name for name in (*_ARRAYS, "card") if name not in arrays]
    if missing:
        raise InvalidInputError(f"{path} lacks {', '.join(missing)}; it has {', '.join(arrays)}")
    numbers = {name: array for name, array in arrays.items() if name != "card"}
    observations, actions, mean, scale = (numbers[name] for name in _ARRAYS)
    normalized = numbers.get("normalized_observations")
    if (
        observations.ndim != 2
        or actions.ndim != 2
        or len(observations) != len(actions)
        or observations.size * actions.size == 0
        or mean.shape != observations.shape[1:]
        or scale.shape != mean.shape
        or (normalized is not None and normalized.shape != observations.shape)
    ):
        shapes = {name: array.shape for name, array in numbers.items()}
        raise InvalidInputError(f"the arrays of {path} do not fit together: {shapes}")
    for name, array in numbers.items():
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise InvalidInputError(f"{path} holds {name} that are not finite numbers")
    if (scale <= 0).any():
        raise InvalidInputError(f"{path} holds an observation_scale that is not positive")
    if not np.array_equal(scale, numbers.get(_OLD_SCALE, scale)):
        raise InvalidInputError(f"{path} holds an observation_scale and another {_OLD_SCALE}")
    try:
        card = json.loads(str(arrays["card"]))
    except ValueError as error:
        raise InvalidInputError(f"the card of {path} is not JSON: {error}") from error
    if not isinstance(card, dict):
        raise InvalidInputError(f"the card of {path} is not a JSON object")
    if normalized is None:
        normalized = (observations - mean) / scale
    return DistilledSet(
        SyntheticData(jnp.asarray(normalized, jnp.float32), jnp.asarray(actions, jnp.float32)),
        Normalizer(jnp.asarray(mean, jnp.float32), jnp.asarray(scale, jnp.float32)),
        card,
    )
