"""Released Cal-QL checkpoints as teachers."""

import hashlib
import json
import os

import jax.numpy as jnp
import numpy as np

from obd_jax.environments import parse_dataset
from obd_jax.networks import MLP
from obd_jax.teachers.torch_file import load_state_dicts
from obd_jax.types import Array, InvalidInputError, Normalizer, Provenance, Teacher

# What CORL, and so these policies, add to the standard deviation of a state.
_EPSILON = 1e-3


def load_calql(path: str | os.PathLike, stats_path: str | os.PathLike, stats_key: str) -> Teacher:
    """Reads a Cal-QL policy and critic (Nakamoto et al. 2023, arXiv 2303.05479) as trained by CORL.

    `act` is tanh of the policy's mean, `value` is the first critic (discount 0.99). Both take raw
    observations and normalise them by (observation - mean) / (std + 1e-3).

    Args:
        path: PyTorch zip checkpoint with the state dictionaries `actor` and `critic1`.
        stats_path: JSON file: `stats` -> key -> `mean` and `std`, each [D] raw units.
        stats_key: the key of the data set that the policy was trained on.

    Raises:
        InvalidInputError: a file that cannot be read or is damaged, a pickle that names anything
            but what such checkpoints consist of, or sizes that do not fit one another.
    """
    path = os.fspath(path)
    content = _read_bytes(path)
    try:
        networks = load_state_dicts(content, ("actor", "critic1"))
        actor, actor_params, actor_sizes = _mlp(networks["actor"], "base_network", "actor")
        critic, critic_params, critic_sizes = _mlp(networks["critic1"], "network", "critic1")
        observation_size, action_size = actor_sizes[0], actor_sizes[1] // 2
        if actor_sizes[1] != 2 * action_size or action_size == 0:
            raise InvalidInputError(
                f"actor has {actor_sizes[1]} outputs; a mean and a deviation per action are needed"
            )
        if critic_sizes != (observation_size + action_size, 1):
            raise InvalidInputError(
                f"critic1 maps {critic_sizes[0]} numbers to {critic_sizes[1]}; the actor's "
                f"{observation_size} observations and {action_size} actions to one value are needed"
            )
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}: {error}") from error
    normalizer = _read_stats(os.fspath(stats_path), stats_key)
    if normalizer.mean.shape != (observation_size,):
        raise InvalidInputError(
            f"{os.fspath(stats_path)}: {stats_key} has {normalizer.mean.shape[0]} observations; "
            f"{path} takes {observation_size}"
        )

    def act(observations):
        head = jnp.asarray(actor.apply(actor_params, normalizer.normalize(observations)))
        return jnp.tanh(head[..., :action_size])

    def value(observations, actions):
        inputs = jnp.concatenate([normalizer.normalize(observations), actions], axis=-1)
        return jnp.asarray(critic.apply(critic_params, inputs))[..., 0]

    digest = hashlib.sha256(content).hexdigest()
    provenance = Provenance("cal-ql checkpoint", path, digest, _task_of(stats_key))
    return Teacher(act, value, observation_size, action_size, provenance)


def _task_of(stats_key: str) -> str | None:
    """Gymnasium's id of the task of a data set, if the name is one of D4RL's."""
    try:
        environment, _ = parse_dataset(stats_key)
    except InvalidInputError:
        return None
    return environment.gymnasium_id


def _read_bytes(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise InvalidInputError(f"{path}: cannot be read: {error.strerror}") from error


def _mlp(tensors, prefix, name):
    """State dictionary of linear layers with ReLU between -> module, params, (inputs, outputs)."""
    layers: list[dict[str, Array]] = []
    # Activations count as layers, so weights are at even places.
    while f"{prefix}.{2 * len(layers)}.weight" in tensors:
        place = f"{prefix}.{2 * len(layers)}"
        weight, bias = tensors[f"{place}.weight"], tensors.get(f"{place}.bias")
        inputs = layers[-1]["bias"].shape if layers else weight.shape[1:]
        if bias is None or weight.ndim != 2 or weight.shape != bias.shape + inputs:
            raise InvalidInputError(
                f"{name}.{place} has weight {weight.shape}, bias "
                f"{None if bias is None else bias.shape} and inputs {inputs}, which do not fit"
            )
        layers.append({"kernel": jnp.asarray(weight.T), "bias": jnp.asarray(bias)})
    if not layers:
        raise InvalidInputError(f"{name} lacks {prefix}.0.weight; found {', '.join(tensors)}")
    *hidden_sizes, output_size = (layer["bias"].shape[0] for layer in layers)
    params = {"params": {f"Dense_{i}": layer for i, layer in enumerate(layers)}}
    module = MLP(hidden_sizes=tuple(hidden_sizes), output_size=output_size)
    return module, params, (layers[0]["kernel"].shape[0], output_size)


def _read_stats(path, key):
    """Normaliser of the data set `key` in a JSON file of statistics."""
    try:
        stats = json.loads(_read_bytes(path))["stats"]
        known = ", ".join(stats)
        if key not in stats:
            raise InvalidInputError(f"{path}: no statistics for {key!r}; known are {known}")
        mean = np.asarray(stats[key]["mean"], np.float64)
        std = np.asarray(stats[key]["std"], np.float64)
    except InvalidInputError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInputError(
            f"{path}: not a JSON file of statistics (stats -> key -> mean and std): {error!r}"
        ) from error
    if mean.ndim != 1 or mean.shape != std.shape:
        raise InvalidInputError(
            f"{path}: {key} has mean {mean.shape} and std {std.shape}; two of [D] are needed"
        )
    if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std >= 0).all()):
        raise InvalidInputError(f"{path}: {key} has a mean or std that is not finite or negative")
    return Normalizer(
        jnp.asarray(mean, jnp.float32),
        jnp.asarray(std + _EPSILON, jnp.float32),
    )
