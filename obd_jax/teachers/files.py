"""Trained teachers as files that numpy alone can read."""

import io
import itertools
import json
import os
import pathlib
from typing import Any

import flax.traverse_util
import jax.numpy as jnp
import numpy as np

from obd_jax.data.cache import sha256
from obd_jax.networks import MLP
from obd_jax.teachers.algorithm import act as act_by
from obd_jax.teachers.algorithm import value as value_by
from obd_jax.types import ActionBounds, InvalidInputError, Normalizer, Params, Provenance, Teacher


def save_teacher(
    path: pathlib.Path,
    actor: Params,
    critic: Params,
    normalizer: Normalizer,
    action_size: int,
    reward_scale: float,
    card: dict[str, Any],
) -> None:
    """Write a teacher, whole or not at all.

    The archive holds `actor/Dense_0/kernel` and so on, the same for `critic`, observation_mean
    and observation_std [D], action_size, reward_scale and the card as JSON text.

    Args:
        path: of the npz file.
        actor: parameters of an `MLP`.
        critic: parameters of an `MLP` on observations and actions side by side.
        normalizer: of observations.
        action_size: A.
        reward_scale: values are divided by it.
        card: how it was trained, and on what.
    """
    arrays: dict[str, Any] = {
        "observation_mean": np.asarray(normalizer.mean),
        "observation_std": np.asarray(normalizer.scale),
        "action_size": np.array(action_size),
        "reward_scale": np.array(reward_scale),
        "card": np.array(json.dumps(card, allow_nan=False)),
    }
    for name, params in (("actor", actor), ("critic", critic)):
        for place, leaf in flax.traverse_util.flatten_dict(params["params"], sep="/").items():
            arrays[f"{name}/{place}"] = np.asarray(leaf)
    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)
    temporary.replace(path)


def load_teacher(path: str | os.PathLike) -> Teacher:
    """Read a teacher that `save_teacher` wrote.

    Raises:
        InvalidInputError: no such file, not a teacher, or parameters that do not fit.
    """
    path = pathlib.Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        with np.load(io.BytesIO(content)) as file:
            arrays = {name: file[name] for name in file.files}
        normalizer = Normalizer(
            jnp.asarray(arrays["observation_mean"], jnp.float32),
            jnp.asarray(arrays["observation_std"], jnp.float32),
        )
        action_size, scale = int(arrays["action_size"]), float(arrays["reward_scale"])
        card = json.loads(str(arrays["card"]))
        name, recorded_in, bounds = card["algorithm"], _recorded_in(card), _bounds(card)
        actor, actor_params, actor_sizes = _network(arrays, "actor")
        critic, critic_params, critic_sizes = _network(arrays, "critic")
        (observation_size,) = normalizer.mean.shape
    # Damage shows as many things: of the archive, of compression, of the header of an array.
    except Exception as error:
        raise InvalidInputError(f"{path}: not a teacher: {error}") from error
    if (
        actor_sizes[0] != observation_size
        or actor_sizes[1] < action_size
        or critic_sizes != (observation_size + action_size, 1)
    ):
        raise InvalidInputError(
            f"{path}: the networks map {actor_sizes} and {critic_sizes}, which does not fit "
            f"{observation_size} observations and {action_size} actions"
        )

    def act(observations):
        return act_by(actor, actor_params, normalizer.normalize(observations), action_size)

    def value(observations, actions):
        normalized = normalizer.normalize(observations)
        return value_by(critic, critic_params, normalized, actions) / scale

    provenance = Provenance(f"teacher by {name}", str(path), sha256(path), recorded_in)
    return Teacher(act, value, observation_size, action_size, provenance, bounds)


def _recorded_in(card: dict[str, Any]) -> str | None:
    """The task of the data that a teacher was trained on, as its card says, or where it acted."""
    provenance = card.get("provenance", {})
    data = provenance.get("data", {}).get("environment")
    return data or provenance.get("environment", {}).get("name")


def _bounds(card: dict[str, Any]) -> ActionBounds | None:
    """What its actions stand for, as the card says."""
    found = card.get("provenance", {}).get("action_bounds")
    return None if found is None else ActionBounds(tuple(found["low"]), tuple(found["high"]))


def _network(arrays, name):
    """Module, parameters and (inputs, outputs) from the arrays of a network."""
    flat = {
        place.removeprefix(f"{name}/"): jnp.asarray(array, jnp.float32)
        for place, array in arrays.items()
        if place.startswith(f"{name}/")
    }
    kernels = [flat[f"Dense_{i}/kernel"] for i in range(sum("kernel" in key for key in flat))]
    for i, (kernel, following) in enumerate(itertools.pairwise(kernels)):
        if kernel.shape[1] != following.shape[0]:
            raise ValueError(f"layers {i} and {i + 1} of the {name} do not fit")
    *hidden, output = (kernel.shape[1] for kernel in kernels)
    module = MLP(tuple(hidden), output, layer_norm="LayerNorm_0/scale" in flat)
    params = {"params": flax.traverse_util.unflatten_dict(flat, sep="/")}
    return module, params, (kernels[0].shape[0], output)
