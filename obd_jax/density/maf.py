"""Masked autoregressive flow."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from obd_jax.density.standardize import ColumnStatistics, column_statistics
from obd_jax.types import Array, DensityEstimator, InvalidInputError, Key

# Bounds that hold for every input, so that states far from the data get a very low but finite
# log density. Within the data (standardised, so of order 1) they are hardly felt.
_MAX_LOG_SCALE = 2.0  # of one block
_MAX_CONDITIONER_INPUT = 30.0
_MAX_BASE_VALUE = 1e18  # its square is still a float32


class MafParams(NamedTuple):
    """Column statistics (fixed) and the weights of all blocks (trained).

    columns: statistics of the D columns.
    weights: [blocks, in, out] per layer; the last layer gives D shifts, then D log scales.
    biases:  [blocks, out] per layer.
    """

    columns: ColumnStatistics
    weights: tuple[Array, ...]
    biases: tuple[Array, ...]


def maf(num_blocks: int = 5, hidden_sizes: Sequence[int] = (100, 100)) -> DensityEstimator:
    """Masked autoregressive flow (Papamakarios, Pavlakou & Murray 2017, arXiv 1705.07057).

    Each block maps x to u = x exp(log_scale(x)) + shift(x), with element d of shift and
    log_scale a ReLU network's function of the elements before d only, by masks on its weights
    (MADE: Germain et al. 2015, arXiv 1502.03509, eqs. 8-11). The order of the elements is
    reversed from block to block; u of the last block is standard normal.

    The paper writes u = (x - m) exp(-a), the same family; with the shift outside the scale
    its gradient does not depend on the scale, and training is faster. The paper also puts
    batch norm between blocks. Here data are standardised and every block starts near the
    identity, so activations are of order 1 from the start, and the last biases of a block are
    already a trained affine map of its output. No running statistics are kept: `log_prob` is
    a pure function of the parameters and of each state alone.

    Args:
        num_blocks: number of blocks.
        hidden_sizes: width of each hidden layer of a block.

    Raises:
        InvalidInputError: there is no block or no hidden layer, or a width is below 1.
    """
    if num_blocks < 1:
        raise InvalidInputError(f"maf num_blocks must be at least 1, got {num_blocks}")
    hidden_sizes = tuple(hidden_sizes)
    if not hidden_sizes or min(hidden_sizes) < 1:
        raise InvalidInputError(f"maf hidden_sizes must be positive widths, got {hidden_sizes}")

    def init(key: Key, observations: Array) -> MafParams:
        columns = column_statistics(observations)
        masks = made_masks(observations.shape[1], hidden_sizes)
        dtype = columns.mean.dtype
        # He initialisation by the unmasked inputs, and a last layer that is small.
        gains = [math.sqrt(2.0)] * len(hidden_sizes) + [0.1]
        weights = []
        for mask, gain in zip(masks, gains, strict=True):
            key, layer_key = jax.random.split(key)
            std = jnp.asarray(gain / np.sqrt(np.maximum(mask.sum(axis=0), 1.0)), dtype)
            normal = jax.random.normal(layer_key, (num_blocks, *mask.shape), dtype)
            weights.append(std[None, None, :] * normal)
        biases = tuple(jnp.zeros((num_blocks, mask.shape[1]), dtype) for mask in masks)
        return MafParams(columns, tuple(weights), biases)

    def log_prob(params: MafParams, observations: Array) -> Array:
        values, log_det = maf_transform(params, observations)
        base = jnp.clip(values, -_MAX_BASE_VALUE, _MAX_BASE_VALUE)
        size = observations.shape[1]
        return log_det - 0.5 * jnp.sum(base**2, axis=1) - 0.5 * size * math.log(2 * math.pi)

    return DensityEstimator(init=init, log_prob=log_prob, trainable=True)


def maf_transform(params: MafParams, observations: Array) -> tuple[Array, Array]:
    """Maps observations [B, D] to base values [B, D] and the log |det| of the Jacobian [B].

    Every block reverses the order of the elements, so after an odd number of blocks the base
    values are in reversed order.
    """
    size = observations.shape[1]
    masks = made_masks(size, tuple(bias.shape[1] for bias in params.biases[:-1]))
    varies = params.columns.varies[None, :]
    # Masked once for the whole batch.
    weights = tuple(w * mask[None] for w, mask in zip(params.weights, masks, strict=True))

    def block(carry, layers):
        values, varies, log_det = carry
        weights, biases = layers
        hidden = jnp.clip(values, -_MAX_CONDITIONER_INPUT, _MAX_CONDITIONER_INPUT)
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            hidden = jax.nn.relu(hidden @ weight + bias[None, :])
        shift, log_scale = jnp.split(hidden @ weights[-1] + biases[-1][None, :], 2, axis=1)
        # A constant column stays as it is: there is nothing to learn but ever larger scales.
        log_scale = varies * _MAX_LOG_SCALE * jnp.tanh(log_scale / _MAX_LOG_SCALE)
        values = values * jnp.exp(log_scale) + varies * shift
        return (values[:, ::-1], varies[:, ::-1], log_det + jnp.sum(log_scale, axis=1)), None

    values = params.columns.standardize(observations)
    log_det = jnp.full(values.shape[0], -params.columns.log_volume)
    (values, _, log_det), _ = jax.lax.scan(
        block, (values, varies, log_det), (weights, params.biases)
    )
    return values, log_det


def made_masks(size: int, hidden_sizes: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Masks [in, out] of the layers of a MADE on D = size inputs, last layer [in, 2 D].

    Input d has degree d, hidden units degrees spread evenly over 1 .. D - 1. A hidden unit sees
    units of its own degree or less, an output only of less (Germain et al. 2015, eqs. 8-9).
    """
    inputs = np.arange(1, size + 1)
    # With D = 1 the only hidden degree is 1, which no output may see.
    degrees = [1 + np.arange(width) * max(size - 1, 1) // width for width in hidden_sizes]
    hidden = [
        (before[:, None] <= after[None, :]).astype(np.float32)
        for before, after in itertools.pairwise([inputs, *degrees])
    ]
    output = (degrees[-1][:, None] < inputs[None, :]).astype(np.float32)
    return (*hidden, np.concatenate([output, output], axis=1))
