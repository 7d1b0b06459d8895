"""Kernels of states: those of infinitely wide ReLU networks, and two stationary ones."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from obd_jax.numerics import arccos, squared_distances, with_derivatives
from obd_jax.types import Array, InvalidInputError

# Floor of squared variances, which only a zero state without biases reaches.
_TINY = 1e-24

# Layers that are computed when the depth is an array, which a sweep needs.
MAX_DEPTH = 8


class KernelSettings(NamedTuple):
    """Numbers of a kernel student; all are leaves, so that they can be swept and learnt.

    depth:        hidden layers of the network; an int, or an integer array up to 8.
    bias_scale:   standard deviation of the network's biases (ntk, nngp); of zero biases the gain.
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


def standard_ntk() -> Kernel:
    """NTK of a ReLU network whose biases start at zero, such as the papers' students.

    With length_scale sqrt(2 / D) and bias_scale 1 it is that of `networks.MLP` as it is
    initialised, on average and not rescaled: while the network moves little, a step of gradient
    descent on it is a step of gradient descent on this kernel with the same learning rate.
    """
    return _relu_network(lambda nngp, tangent: tangent, zero_biases=True)


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
    "standard_ntk": standard_ntk,
    "nngp": nngp,
    "rbf": rbf,
    "matern": matern,
}


def make_kernel(name: str) -> Kernel:
    """Kernel by name; an unknown name raises InvalidInputError with the known ones."""
    if name not in KERNELS:
        raise InvalidInputError(f"unknown kernel {name!r}; known: {', '.join(KERNELS)}")
    return KERNELS[name]()


def _relu_network(select: Callable[[Array, Array], Array], zero_biases: bool = False) -> Kernel:
    """Kernel of the network with weights of variance 2 / fan-in, from (NNGP, NTK) at its output.

    A ReLU layer then keeps the variance of its inputs and a random bias adds bias_scale^2, so the
    variances are known without the recursion. Biases that start at zero, trained or not, add
    nothing to the NNGP; trained, they add bias_scale^2 to the NTK of every layer either way.
    """

    def biases(settings: KernelSettings, dtype) -> tuple[Array, Array]:
        trained = jnp.square(jnp.asarray(settings.bias_scale, dtype))
        return (jnp.zeros_like(trained) if zero_biases else trained), trained

    def cross(settings: KernelSettings, x: Array, y: Array) -> Array:
        x, y = _scaled(settings, x), _scaled(settings, y)
        initial, trained = biases(settings, x.dtype)
        inner = 2.0 * jnp.matmul(x, y.T, precision="highest")
        x_variance, y_variance = (2.0 * jnp.sum(z * z, axis=1) for z in (x, y))

        @with_derivatives
        def recursion(inner, x_variance, y_variance, initial, trained) -> Array:
            def deepen(layer: int, nngp: Array, tangent: Array) -> tuple[Array, Array]:
                x_now, y_now = (v + (layer + 1) * initial for v in (x_variance, y_variance))
                scale = jnp.sqrt(jnp.maximum(x_now * y_now, _TINY))
                relu, inherited = _relu_layer(nngp, tangent, scale)
                return relu + initial, relu + trained + inherited

            return select(
                *_for_each_layer(settings.depth, deepen, (inner + initial, inner + trained))
            )

        # A product with ones, so that the transpose is one too: a sum over rows would be merged
        # with the whole recursion, which a CPU would then go through column by column.
        y_variances = jnp.dot(jnp.ones_like(x_variance)[:, None], y_variance[None, :])
        return recursion(
            inner, x_variance[:, None], y_variances, initial[None, None], trained[None, None]
        )

    def variance(settings: KernelSettings, x: Array) -> Array:
        initial, trained = biases(settings, x.dtype)
        first = 2.0 * jnp.sum(jnp.square(_scaled(settings, x)), axis=1)

        def deepen(layer: int, nngp: Array, tangent: Array) -> tuple[Array, Array]:
            del layer
            return nngp + initial, nngp + trained + tangent

        return select(*_for_each_layer(settings.depth, deepen, (first + initial, first + trained)))

    return Kernel(cross, variance)


def _angle(nngp: Array, scale: Array) -> tuple[Array, Array, Array]:
    """Cosine, sine / pi and (pi - angle) / pi between states, away from 0 and pi by rounding."""
    margin = 8 * jnp.finfo(nngp.dtype).eps
    cosine = jnp.clip(nngp / scale, -1.0 + margin, 1.0 - margin)
    sine = jnp.sqrt((1.0 - cosine) * (1.0 + cosine))
    return cosine, sine / jnp.pi, (jnp.pi - arccos(cosine)) / jnp.pi


@jax.custom_jvp
def _relu_layer(nngp: Array, tangent: Array, scale: Array) -> tuple[Array, Array]:
    """What a ReLU layer and the weights behind it make of NNGP and NTK, elementwise.

    The expectations are the arc-cosine kernels of degree 1 and 0 (Cho & Saul 2009), the
    recursion is Jacot et al. (2018), theorem 1.

    Args:
        nngp: covariance of the layer's inputs.
        tangent: NTK so far.
        scale: product of the two standard deviations of the layer's inputs.
    """
    cosine, sine, step = _angle(nngp, scale)
    return scale * (sine + step * cosine), step * tangent


@_relu_layer.defjvp
def _relu_layer_jvp(primals, tangents):
    """Written out, because the textbook derivative is 0 * inf at states in one direction.

    There the derivative of the NTK does not exist; this one is finite.
    """
    (nngp, tangent, scale), (d_nngp, d_tangent, d_scale) = primals, tangents
    cosine, sine, step = _angle(nngp, scale)
    d_step = (d_nngp - cosine * d_scale) / (jnp.pi**2 * sine * scale)
    return (
        (scale * (sine + step * cosine), step * tangent),
        (step * d_nngp + sine * d_scale, step * d_tangent + tangent * d_step),
    )


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
