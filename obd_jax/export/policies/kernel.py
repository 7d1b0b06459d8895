"""A policy by kernel ridge regression on a distilled set, in NumPy alone.

    from policy import act
    actions = act(observations)

Its weights are in the .npz file of the same name beside it.
"""

import functools
import pathlib

import numpy as np

# Rows whose kernels are held at once.
_CHUNK = 4096

# Cosines are kept this far from -1 and 1.
_MARGIN = 8 * 2.0**-23


@functools.cache
def _weights():
    with np.load(pathlib.Path(__file__).with_suffix(".npz")) as file:
        return {name: file[name] for name in file.files}


def act(observations):
    """Actions in the environment's units on raw observations: [..., D] -> [..., A], float32."""
    weights = _weights()
    observations = np.asarray(observations, np.float64)
    states = weights["states"]
    if observations.shape[-1:] != states.shape[1:]:
        raise ValueError(
            f"observations have shape {observations.shape}; [..., {states.shape[1]}] is needed"
        )
    flat = (observations.reshape(-1, states.shape[1]) - weights["mean"]) / weights["scale"]
    actions = np.empty((len(flat), weights["coefficients"].shape[1]), np.float32)
    for start in range(0, len(flat), _CHUNK):
        rows = slice(start, start + _CHUNK)
        kernel = _kernel(flat[rows] / weights["length"], states, weights)
        actions[rows] = np.tanh(kernel @ weights["coefficients"])
    actions = np.clip(
        actions * weights["half"] + weights["center"], weights["low"], weights["high"]
    )
    return actions.reshape(*observations.shape[:-1], -1)


def _kernel(x, y, weights):
    """Kernel [B, N] of states x [B, D] and y [N, D], in length scales."""
    name = str(weights["kernel"])
    if name in ("rbf", "matern"):
        squares = np.sum(x * x, axis=1)[:, None] + np.sum(y * y, axis=1) - 2 * x @ y.T
        squares = np.maximum(squares, 0)
        if name == "rbf":
            return np.exp(-0.5 * squares)
        z = np.sqrt(5 * squares)
        return (1 + z + z * z / 3) * np.exp(-z)
    # Kernels of infinitely wide ReLU networks, layer by layer (Jacot et al. 2018).
    initial, trained = weights["initial_bias"] ** 2, weights["trained_bias"] ** 2
    inner = 2 * x @ y.T
    nngp, tangent = inner + initial, inner + trained
    x_variance, y_variance = (2 * np.sum(z * z, axis=1) for z in (x, y))
    for layer in range(int(weights["depth"])):
        bias = (layer + 1) * initial
        scale = np.sqrt(np.maximum((x_variance + bias)[:, None] * (y_variance + bias), 1e-24))
        cosine = np.clip(nngp / scale, -1 + _MARGIN, 1 - _MARGIN)
        angle = np.arccos(cosine)
        nngp = scale * (np.sqrt(1 - cosine**2) + (np.pi - angle) * cosine) / np.pi + initial
        # The weights behind the layer, its biases, and the layers before it.
        tangent = nngp - initial + trained + (np.pi - angle) / np.pi * tangent
    return nngp if name == "nngp" else tangent
