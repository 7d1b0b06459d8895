"""Multilayer perceptrons for policies and critics."""

from collections.abc import Sequence

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from obd_jax.numerics import one_by_one_on_cpus
from obd_jax.types import Array, Key, Params

# Log deviations of Gaussian policies are kept in this range (Haarnoja et al. 2018, D4RL's rlkit).
LOG_STD_MIN, LOG_STD_MAX = -20.0, 2.0


class MLP(nn.Module):
    """ReLU network with a linear output: inputs [..., in] -> [..., output_size].

    Unless given otherwise, kernels are orthogonal with gain sqrt(2) on every layer, the
    initialisation of the OBD release (Lei et al. 2024). Biases are zero. With `layer_norm`, the
    activations of every hidden layer are normalised after the ReLU. With `residual`, every layer as
    wide as the one before it adds its activations to that one's. With `turned`, the output layer's
    kernel is [output_size, in], as `turn` makes it: a gradient by it is then taken so as well, with
    few outputs many times faster on CPUs than [in, output_size].
    """

    hidden_sizes: Sequence[int]
    output_size: int
    kernel_init: nn.initializers.Initializer = nn.initializers.orthogonal(2.0**0.5)
    layer_norm: bool = False
    residual: bool = False
    turned: bool = False

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """Apply the network."""
        hidden = inputs
        for i, size in enumerate(self.hidden_sizes):
            before = hidden
            hidden = nn.relu(nn.Dense(size, kernel_init=self.kernel_init)(hidden))
            if self.layer_norm:
                hidden = nn.LayerNorm()(hidden)
            if self.residual and i > 0 and before.shape == hidden.shape:
                hidden = before + hidden
        init, name = self.kernel_init, self._output_name
        if not self.turned:
            return nn.Dense(self.output_size, kernel_init=init, name=name)(hidden)
        shape = (self.output_size, hidden.shape[-1])
        return nn.Einsum(shape, "...i,oi->...o", kernel_init=init, name=name)(hidden)

    @property
    def _output_name(self) -> str:
        return f"Dense_{len(self.hidden_sizes)}"

    def turn(self, params: Params) -> Params:
        """`params` with the output layer's kernel transposed; turned twice, they are themselves."""
        layers = dict(params["params"])
        output = layers[self._output_name]
        layers[self._output_name] = {**output, "kernel": output["kernel"].T}
        return {**params, "params": layers}


def init_parameters(module: nn.Module, key: Key, inputs: Array):
    """`module.init` for inputs of this size; parameters have their dtype.

    Orthogonal initialisers call LAPACK, so under `vmap` keys are taken one by one on CPUs.
    """

    @one_by_one_on_cpus
    def init(key):
        params = module.init(key, jnp.zeros(inputs.shape[-1:], inputs.dtype))
        return jax.tree.map(lambda leaf: leaf.astype(inputs.dtype), params)

    return init(key)


def sample_squashed(key: Key, mean: Array, log_std: Array) -> tuple[Array, Array]:
    """Sample an action tanh(u), u ~ N(mean, std), [..., A], with its log density [...] in nats.

    log density = log N(u) - sum log(1 - tanh(u)^2), whose last term is written as
    2 (log 2 - u - softplus(-2 u)), which does not saturate (Haarnoja et al. 2018, appendix C).
    """
    chex.assert_equal_shape([mean, log_std])
    noise = jax.random.normal(key, mean.shape, mean.dtype)
    latent = mean + jnp.exp(log_std) * noise
    log_normal = -0.5 * jnp.square(noise) - log_std - 0.5 * jnp.log(2 * jnp.pi)
    log_slope = 2 * (jnp.log(2.0) - latent - jax.nn.softplus(-2 * latent))
    return jnp.tanh(latent), jnp.sum(log_normal - log_slope, axis=-1)
