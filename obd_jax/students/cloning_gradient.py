"""Gradient of the cloning loss of a ReLU network, cheap to differentiate once more.

The meta-gradient differentiates every training step of a student, which is itself a
gradient. Reverse mode over reverse mode would store or recompute all that the inner
backward pass touched. Here the second derivative is written out: for a cotangent v of the
gradient it is the gradient of the scalar v . grad L = d/de L(params + e v), whose value needs
one forward pass with tangents and whose gradient needs one backward pass. Values and
tangents share each product with a weight matrix, so that the products are few and large,
and nothing but the parameters is kept between the passes.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from obd_jax.networks import Layers
from obd_jax.types import Array

# (network's outputs before the squash [N, A], actions [N, A]) -> scalar.
CloningError = Callable[[Array, Array], Array]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def cloning_gradient(
    error: CloningError, layers: Layers, observations: Array, actions: Array
) -> Layers:
    """Gradient of error(network(observations), actions) in the layers.

    Differentiable once more in reverse mode, exactly; forward mode is not defined.

    Args:
        error: the loss of the outputs.
        layers: of the network: ReLU between layers, linear output.
        observations: [N, D].
        actions: [N, A].

    Returns:
        The gradient, shaped like `layers`.
    """
    inputs, outputs = _forward(layers, observations)
    return _weight_gradients(layers, inputs, jax.grad(error)(outputs, actions))


def _forward(layers: Layers, observations: Array) -> tuple[list[Array], Array]:
    """Inputs of every layer, and the outputs of the last."""
    inputs, hidden = [], observations
    for kernel, bias in layers:
        inputs.append(hidden)
        outputs = hidden @ kernel + bias[None, :]
        hidden = jax.nn.relu(outputs)
    return inputs, outputs


def _weight_gradients(layers: Layers, inputs: list[Array], cotangent: Array) -> Layers:
    """Backward pass: gradients in kernels and biases, none in the observations."""
    gradients = []
    for index in reversed(range(len(layers))):
        gradients.append((_outer(inputs[index], cotangent), cotangent.sum(axis=0)))
        if index > 0:
            cotangent = jnp.where(inputs[index] > 0, cotangent @ layers[index][0].T, 0.0)
    return tuple(reversed(gradients))


def _keep(error, layers, observations, actions):
    gradient = cloning_gradient(error, layers, observations, actions)
    return gradient, (layers, observations, actions)


def _second_derivative(error, kept, direction):
    """Gradient of direction . grad L in layers, observations and actions.

    Pairs are stacked on a leading axis: values and tangents on the way forward, and on the
    way back the cotangents of both.
    """
    layers, observations, actions = kept
    pair = jnp.stack([observations, jnp.zeros_like(observations)])
    pairs = []
    for (kernel, bias), (kernel_dot, bias_dot) in zip(layers, direction, strict=True):
        pairs.append(pair)
        moved = pair[0] @ kernel_dot + bias_dot[None, :]
        outputs = _times(pair, kernel) + jnp.stack([jnp.broadcast_to(bias, moved.shape), moved])
        pair = jnp.where(outputs[:1] > 0, outputs, 0.0)

    def slope(values: Array, actions: Array, tangents: Array) -> Array:
        return jnp.vdot(jax.grad(error)(values, actions), tangents)

    cotangent, actions_bar, tangent_bar = jax.grad(slope, argnums=(0, 1, 2))(
        outputs[0], actions, outputs[1]
    )
    bars = jnp.stack([cotangent, tangent_bar])
    layers_bar = []
    for index in reversed(range(len(layers))):
        (kernel, _), (kernel_dot, _) = layers[index], direction[index]
        inputs = pairs[index]
        kernel_bar = _outer(_flat(inputs), _flat(bars))
        layers_bar.append((kernel_bar, bars[0].sum(axis=0)))
        moved = bars[1] @ kernel_dot.T
        if index == 0:
            observations_bar = bars[0] @ kernel.T + moved
        else:
            back = _times(bars, kernel.T)
            back = back + jnp.stack([moved, jnp.zeros_like(moved)])
            bars = jnp.where(inputs[:1] > 0, back, 0.0)
    return tuple(reversed(layers_bar)), observations_bar, actions_bar


def _outer(left: Array, right: Array) -> Array:
    """left^T right for [rows, in] and [rows, out], the transpose made before the product.

    XLA's CPU products are slow when they transpose the left side on the fly: by a quarter
    for wide layers, tenfold for narrow ones. The barrier keeps the two apart, and the
    narrower side is the one transposed.
    """
    if right.shape[1] < left.shape[1]:
        return _outer(right, left).T
    return jax.lax.optimization_barrier(left.T) @ right


def _flat(pair: Array) -> Array:
    return pair.reshape(-1, pair.shape[-1])


def _times(pair: Array, matrix: Array) -> Array:
    """Both of a pair [2, N, in] times a matrix [in, out], as one product."""
    return (_flat(pair) @ matrix).reshape(*pair.shape[:-1], matrix.shape[1])


cloning_gradient.defvjp(_keep, _second_derivative)
