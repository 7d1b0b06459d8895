"""Kernels of states: those of infinitely wide ReLU networks, and two stationary ones."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from obd_jax.numerics import arccos, squared_distances, with_derivatives
from obd_jax.types import Array, InvalidInputError

# Layers that are computed when the depth is an array, which a sweep needs.
MAX_DEPTH = 8


class KernelSettings(NamedTuple):
    """Numbers of a kernel student; all are leaves, so that they can be swept and learnt.

    depth:        hidden layers of the network (ntk, nngp); an int, or an integer array up to 8.
    bias_scale:   standard deviation of the network's biases (ntk, nngp).
    ridge:        added to the kernel matrix, in units of its mean diagonal.
    length_scale: [] or [D], what normalised observations are divided by.
    """

    depth: int | Array = 3
    bias_scale: float | Array = 0.3
    ridge: float | Array = 1e-3
    length_scale: float | Array = 1.0


class Kernel(NamedTuple):
    """A positive definite function of two states.

    cross:    (settings, x [B, D], y [N, D]) -> [B, N].
    variance: (settings, x [B, D]) -> [B], the kernel of every state with itself.
    """

    cross: Callable[[KernelSettings, Array, Array], Array]
    variance: Callable[[KernelSettings, Array], Array]


def gram(kernel: Kernel, settings: KernelSettings, x: Array) -> Array:
    """Kernel matrix [N, N] of states x [N, D], its diagonal exact."""
    cross = kernel.cross(settings, x, x)
    return jnp.where(jnp.eye(len(x), dtype=bool), kernel.variance(settings, x)[:, None], cross)


def ntk() -> Kernel:
    """Neural tangent kernel of a ReLU network, all layers trained (Jacot et al. 2018)."""
    return _relu_network(lambda nngp, tangent: tangent)


def nngp() -> Kernel:
    """Kernel of a ReLU network with only its last layer trained (Lee et al. 2018)."""
    return _relu_network(lambda nngp, tangent: nngp)


def rbf() -> Kernel:
    """Gaussian kernel exp(-r^2 / 2)."""
    return _stationary(lambda squares: jnp.exp(-0.5 * squares))


def matern() -> Kernel:
    """Matern kernel of smoothness 5/2, (1 + z + z^2 / 3) exp(-z) with z = sqrt(5) r."""

    def profile(squares: Array) -> Array:
        # The floor keeps the root's gradient finite; it changes the kernel by less than 1e-12.
        z = jnp.sqrt(5.0 * jnp.maximum(squares, 1e-12))
        return (1.0 + z + z * z / 3.0) * jnp.exp(-z)

    return _stationary(profile)


KERNELS: dict[str, Callable[[], Kernel]] = {
    "ntk": ntk,
    "nngp": nngp,
    "rbf": rbf,
    "matern": matern,
}


def make_kernel(name: str) -> Kernel:
    """Kernel by name; an unknown name raises InvalidInputError with the known ones."""
    if name not in KERNELS:
        raise InvalidInputError(f"unknown kernel {name!r}; known: {', '.join(KERNELS)}")
    return KERNELS[name]()


def _relu_network(select: Callable[[Array, Array], Array]) -> Kernel:
    """Kernel of the network with weights of variance 2 / fan-in, from (NNGP, NTK) at its output.

    A ReLU layer then keeps the variance of its inputs and a bias adds bias_scale^2, so the
    variances are known without the recursion.
    """

    def cross(settings: KernelSettings, x: Array, y: Array) -> Array:
        x, y = _scaled(settings, x), _scaled(settings, y)
        bias = jnp.square(jnp.asarray(settings.bias_scale, x.dtype))
        inner = 2.0 * jnp.matmul(x, y.T, precision="highest") + bias
        x_variance, y_variance = (2.0 * jnp.sum(z * z, axis=1) + bias for z in (x, y))

        @with_derivatives
        def recursion(inner: Array, x_variance: Array, y_variance: Array, bias: Array) -> Array:
            def deepen(layer: int, nngp: Array, tangent: Array) -> tuple[Array, Array]:
                scale = jnp.sqrt((x_variance + layer * bias) * (y_variance + layer * bias))
                return _relu_layer(nngp, tangent, scale, bias)

            return select(*_for_each_layer(settings.depth, deepen, (inner, inner)))

        # A product with ones, so that the transpose is one too: a sum over rows would be merged
        # with the whole recursion, which a CPU would then go through column by column.
        y_variances = jnp.dot(jnp.ones_like(x_variance)[:, None], y_variance[None, :])
        return recursion(inner, x_variance[:, None], y_variances, bias[None, None])

    def variance(settings: KernelSettings, x: Array) -> Array:
        bias = jnp.square(jnp.asarray(settings.bias_scale, x.dtype))
        first = 2.0 * jnp.sum(jnp.square(_scaled(settings, x)), axis=1) + bias

        def deepen(layer: int, nngp: Array, tangent: Array) -> tuple[Array, Array]:
            del layer
            return nngp + bias, nngp + bias + tangent

        return select(*_for_each_layer(settings.depth, deepen, (first, first)))

    return Kernel(cross, variance)


def _angle(nngp: Array, scale: Array) -> tuple[Array, Array, Array]:
    """Cosine, sine / pi and (pi - angle) / pi between states, away from 0 and pi by rounding."""
    margin = 8 * jnp.finfo(nngp.dtype).eps
    cosine = jnp.clip(nngp / scale, -1.0 + margin, 1.0 - margin)
    sine = jnp.sqrt((1.0 - cosine) * (1.0 + cosine))
    return cosine, sine / jnp.pi, (jnp.pi - arccos(cosine)) / jnp.pi


@jax.custom_jvp
def _relu_layer(nngp: Array, tangent: Array, scale: Array, bias: Array) -> tuple[Array, Array]:
    """NNGP and NTK after a ReLU layer and the weights behind it, elementwise.

    The expectations are the arc-cosine kernels of degree 0 and 1 (Cho & Saul 2009), the
    recursion is Jacot et al. (2018), theorem 1.

    Args:
        nngp: covariance of the layer's inputs.
        tangent: NTK so far.
        scale: product of the two standard deviations of the layer's inputs.
        bias: variance of the biases.
    """
    cosine, sine, step = _angle(nngp, scale)
    nngp = scale * (sine + step * cosine) + bias
    return nngp, nngp + step * tangent


@_relu_layer.defjvp
def _relu_layer_jvp(primals, tangents):
    """Written out, because the textbook derivative is 0 * inf at states in one direction.

    There the derivative of the NTK does not exist; this one is finite.
    """
    (nngp, tangent, scale, bias), (d_nngp, d_tangent, d_scale, d_bias) = primals, tangents
    cosine, sine, step = _angle(nngp, scale)
    next_nngp = scale * (sine + step * cosine) + bias
    d_next_nngp = step * d_nngp + sine * d_scale + d_bias
    d_step = (d_nngp - cosine * d_scale) / (jnp.pi**2 * sine * scale)
    d_next_tangent = d_next_nngp + step * d_tangent + tangent * d_step
    return (next_nngp, next_nngp + step * tangent), (d_next_nngp, d_next_tangent)


def _for_each_layer(depth: int | Array, deepen, start: tuple[Array, Array]):
    """Apply `deepen` depth times; an array of a depth goes through all MAX_DEPTH layers."""
    nngp, tangent = start
    for layer in range(depth if isinstance(depth, int) else MAX_DEPTH):
        deeper = deepen(layer, nngp, tangent)
        if isinstance(depth, int):
            nngp, tangent = deeper
        else:
            nngp = jnp.where(layer < depth, deeper[0], nngp)
            tangent = jnp.where(layer < depth, deeper[1], tangent)
    return nngp, tangent


def _stationary(profile: Callable[[Array], Array]) -> Kernel:
    """Kernel that depends on the squared distance in length scales, divided by D."""

    def cross(settings: KernelSettings, x: Array, y: Array) -> Array:
        return profile(squared_distances(_scaled(settings, x), _scaled(settings, y)))

    def variance(settings: KernelSettings, x: Array) -> Array:
        del settings
        return jnp.ones(len(x), x.dtype)

    return Kernel(cross, variance)


def _scaled(settings: KernelSettings, x: Array) -> Array:
    """States in length scales, divided by the square root of D, so that their norm is about 1."""
    length_scale = jnp.broadcast_to(jnp.asarray(settings.length_scale, x.dtype), x.shape[1:])
    return x / (length_scale * x.shape[1] ** 0.5)[None, :]
