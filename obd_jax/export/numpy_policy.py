"""The fitted student as a file of NumPy alone."""

import pathlib
import shutil
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import jax
import numpy as np

from obd_jax.artefacts import DistilledSet
from obd_jax.evaluation import fit_students
from obd_jax.export.pairs import bounds_of
from obd_jax.export.policies import kernel, network
from obd_jax.students import KernelRecipe, LazyMLPRecipe, MLPRecipe, RandomFeaturesRecipe
from obd_jax.types import ActionBounds, Key, Params


def write_numpy(distilled: DistilledSet, folder: pathlib.Path, key: Key) -> str:
    """Writes `policy.py`, with a function `act(observations)`, and its weights `policy.npz`.

    Args:
        distilled: the set; its card names the student, which is trained on it now.
        folder: that is there, empty.
        key: of the student's initialisation, as of `DistilledSet.policy`.

    Returns:
        How it is used, in a line.

    Raises:
        InvalidInputError: the card names no student, or its training is not finite.
    """
    recipe = distilled.recipe
    student = recipe.student(distilled.synthetic.actions.shape[1])
    params = jax.tree.map(lambda leaf: leaf[0], fit_students(key, student, distilled.synthetic, 1))
    source, weights = _policy_of(recipe, params)
    shutil.copyfile(str(source.__file__), folder / "policy.py")
    normalizer: dict[str, Any] = {
        "mean": np.asarray(distilled.normalizer.mean),
        "scale": np.asarray(distilled.normalizer.scale),
        **_action_units(bounds_of(distilled)),
    }
    np.savez(folder / "policy.npz", **normalizer, **weights)
    return f"PYTHONPATH={folder} python -c 'from policy import act'"


def _action_units(bounds: ActionBounds) -> dict[str, Any]:
    """How actions in [-1, 1] become those of the environment."""
    low, high = np.array(bounds.low), np.array(bounds.high)
    units = {"low": low, "high": high, "center": (low + high) / 2, "half": (high - low) / 2}
    return {name: numbers.astype(np.float32) for name, numbers in units.items()}


def _policy_of(recipe: Any, params: Params) -> tuple[ModuleType, Mapping[str, Any]]:
    """The module that acts like a student, and its weights."""
    if isinstance(recipe, KernelRecipe):
        initial = 0.0 if recipe.kernel == "standard_ntk" else recipe.bias_scale
        bias = (initial, recipe.bias_scale)
        return kernel, _kernel_weights(
            params, recipe.kernel, recipe.depth, bias, recipe.length_scale
        )
    if isinstance(recipe, LazyMLPRecipe):
        # As `students.lazy_mlp` has it.
        length_scale = (2.0 / params.observations.shape[1]) ** 0.5
        return kernel, _kernel_weights(
            params, "standard_ntk", recipe.depth, (0.0, 1.0), length_scale
        )
    if isinstance(recipe, RandomFeaturesRecipe):
        layers = [*_layers(params.hidden), (params.output, np.zeros(params.output.shape[1]))]
        return network, {
            **_network_weights("trained", layers),
            "layers": len(layers),
            "centred": False,
            "residual": False,
        }
    assert isinstance(recipe, MLPRecipe)
    trained = params.trained if recipe.centred else params
    weights = _network_weights("trained", _layers(trained))
    if recipe.centred:
        weights |= _network_weights("initial", _layers(params.initial))
    return network, {
        **weights,
        "layers": len(recipe.hidden_sizes) + 1,
        "centred": recipe.centred,
        "residual": recipe.residual,
    }


def _kernel_weights(
    params: Params, name: str, depth: int, bias: tuple[float, float], length_scale: float
) -> dict[str, Any]:
    """Weights of `policies.kernel`; states are in length scales, as that divides by `length`."""
    states = np.asarray(params.observations, np.float64)
    length = length_scale * states.shape[1] ** 0.5
    return {
        "kernel": name,
        "depth": depth,
        "initial_bias": bias[0],
        "trained_bias": bias[1],
        "length": length,
        "states": states / length,
        "coefficients": np.asarray(params.coefficients),
    }


def _layers(params: Params) -> list[tuple[Any, Any]]:
    """(kernel, bias) of every layer of a `networks.MLP`."""
    layers = params["params"]
    return [
        (layers[f"Dense_{n}"]["kernel"], layers[f"Dense_{n}"]["bias"]) for n in range(len(layers))
    ]


def _network_weights(name: str, layers: list[tuple[Any, Any]]) -> dict[str, Any]:
    """Weights of `policies.network`."""
    found = {}
    for number, (matrix, bias) in enumerate(layers):
        found[f"{name}_kernel_{number}"] = np.asarray(matrix)
        found[f"{name}_bias_{number}"] = np.asarray(bias)
    return found
