"""A policy by a ReLU network trained on a distilled set, in NumPy alone.

    from policy import act
    actions = act(observations)

Its weights are in the .npz file of the same name beside it.
"""

import functools
import pathlib

import numpy as np


@functools.cache
def _weights():
    with np.load(pathlib.Path(__file__).with_suffix(".npz")) as file:
        return {name: file[name] for name in file.files}


def act(observations):
    """Actions in the environment's units on raw observations: [..., D] -> [..., A], float32."""
    weights = _weights()
    observations = np.asarray(observations, np.float64)
    size = len(weights["mean"])
    if observations.shape[-1:] != (size,):
        raise ValueError(f"observations have shape {observations.shape}; [..., {size}] is needed")
    normalized = (observations - weights["mean"]) / weights["scale"]
    outputs = _network(normalized, "trained", weights)
    if bool(weights["centred"]):
        outputs = outputs - _network(normalized, "initial", weights)
    actions = np.tanh(outputs).astype(np.float32) * weights["half"] + weights["center"]
    return np.clip(actions, weights["low"], weights["high"])


def _network(hidden, name, weights):
    """Outputs of the network whose layers are called NAME_kernel_0, NAME_bias_0 ..."""
    layers = int(weights["layers"])
    for layer in range(layers):
        before = hidden
        hidden = before @ weights[f"{name}_kernel_{layer}"] + weights[f"{name}_bias_{layer}"]
        if layer == layers - 1:
            return hidden
        hidden = np.maximum(hidden, 0)
        if bool(weights["residual"]) and layer > 0 and before.shape == hidden.shape:
            hidden = before + hidden
    return hidden
