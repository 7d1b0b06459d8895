"""Stochastic policies in plain arrays, small enough to ship and fast enough to step with."""

import os
import pathlib
from typing import Any, NamedTuple

import numpy as np

from obd_jax.networks import LOG_STD_MAX, LOG_STD_MIN
from obd_jax.types import InvalidInputError, Params


class BehaviorPolicy(NamedTuple):
    """A Gaussian before tanh, its mean and log deviation by a ReLU network; host memory.

    kernels: [inputs, outputs] of each layer, float32.
    biases:  [outputs] of each layer, float32.
    """

    kernels: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]

    @classmethod
    def from_params(cls, params: Params) -> "BehaviorPolicy":
        """From the parameters of a `networks.MLP` with 2 A outputs."""
        layers: dict[str, Any] = params["params"]
        ordered = [layers[f"Dense_{i}"] for i in range(len(layers))]
        kernels, biases = ([np.asarray(layer[k]) for layer in ordered] for k in ("kernel", "bias"))
        return cls(tuple(kernels), tuple(biases))

    def gaussian(self, observations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Raw observations [..., D] -> mean and deviation [..., A] before tanh."""
        hidden = observations
        for kernel, bias in zip(self.kernels[:-1], self.biases[:-1], strict=True):
            hidden = np.maximum(hidden @ kernel + bias, 0)
        outputs = hidden @ self.kernels[-1] + self.biases[-1]
        size = outputs.shape[-1] // 2
        mean, log_std = outputs[..., :size], outputs[..., size:]
        return mean, np.exp(np.clip(log_std, LOG_STD_MIN, LOG_STD_MAX))

    def sample(self, generator: np.random.Generator, observations: np.ndarray) -> np.ndarray:
        """Raw observations [..., D] -> random actions [..., A] in [-1, 1]."""
        mean, std = self.gaussian(observations)
        return np.tanh(mean + std * generator.standard_normal(mean.shape, np.float32))


def save(path: str | os.PathLike, policy: BehaviorPolicy) -> None:
    """Write a policy in float16, whole or not at all."""
    path = pathlib.Path(path)
    arrays: dict[str, Any] = {}
    for i, (kernel, bias) in enumerate(zip(policy.kernels, policy.biases, strict=True)):
        arrays |= {f"kernel_{i}": kernel.astype(np.float16), f"bias_{i}": bias.astype(np.float16)}
    temporary = path.with_name(f".{path.name}.part")
    with open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)
    temporary.replace(path)


def load(path: str | os.PathLike) -> BehaviorPolicy:
    """Read a policy that `save` wrote.

    Raises:
        InvalidInputError: no such file, or not a policy.
    """
    try:
        # Opened here: NumPy does not close a file that it finds damaged.
        with open(path, "rb") as content, np.load(content) as file:
            layers = len(file.files) // 2
            read = [
                tuple(file[f"{kind}_{i}"].astype(np.float32) for i in range(layers))
                for kind in ("kernel", "bias")
            ]
    # Damage shows as many things: of the archive, of compression, of the header of an array.
    except Exception as error:
        raise InvalidInputError(f"{os.fspath(path)}: not a behaviour policy: {error}") from error
    return BehaviorPolicy(*read)
