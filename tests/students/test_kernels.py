"""Kernels against published closed forms, wide networks and scikit-learn 1.7."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.gaussian_process.kernels as sk

from obd_jax import networks, students
from obd_jax.students import kernels
from obd_jax.types import InvalidInputError

D = 5
SETTINGS = students.KernelSettings(depth=2, bias_scale=0.3, ridge=1e-3, length_scale=1.3)


def make_states(count, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=(count, D)).astype(dtype)


def cross_of(name, settings, x, y):
    with jax.enable_x64(True):
        return np.asarray(students.make_kernel(name).cross(settings, jnp.array(x), jnp.array(y)))


@pytest.fixture(params=students.KERNELS)
def name(request):
    return request.param


def test_a_kernel_matrix_is_symmetric_positive_definite_with_the_stated_diagonal(name):
    x = make_states(40)
    cross = cross_of(name, SETTINGS, x, x)
    with jax.enable_x64(True):
        matrix = np.asarray(students.gram(students.make_kernel(name), SETTINGS, jnp.array(x)))
    np.testing.assert_allclose(matrix, matrix.T, rtol=1e-12)
    # A cosine is kept a rounding error away from 1, where a ReLU kernel has a cusp.
    np.testing.assert_allclose(np.diag(cross), np.diag(matrix), rtol=1e-7)
    assert np.linalg.eigvalsh(matrix).min() > 1e-8


def test_float32_is_float64_to_rounding(name):
    x, y = make_states(30), make_states(20, seed=1)
    kernel = students.make_kernel(name)
    single = kernel.cross(SETTINGS, jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32))
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, cross_of(name, SETTINGS, x, y), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scale", [0.5, np.linspace(0.5, 2.0, D)])
def test_a_length_scale_divides_the_states(name, scale):
    x, y = make_states(6), make_states(4, seed=1)
    scaled = cross_of(name, SETTINGS._replace(length_scale=scale), x, y)
    plain = cross_of(name, SETTINGS._replace(length_scale=1.0), x / scale, y / scale)
    np.testing.assert_allclose(scaled, plain, rtol=1e-12)


def test_gradients_are_finite_differences(name):
    x, y = make_states(4), make_states(3, seed=1)
    weights = np.random.default_rng(2).normal(size=(4, 3))
    with jax.enable_x64(True):
        kernel = students.make_kernel(name)

        def value(flat):
            x, y = flat[: 4 * D].reshape(4, D), flat[4 * D :].reshape(3, D)
            variances = kernel.variance(SETTINGS, y)
            return jnp.sum(weights * kernel.cross(SETTINGS, x, y)) + jnp.sum(variances**2)

        flat = jnp.concatenate([x.ravel(), y.ravel()])
        steps = 1e-6 * jnp.eye(flat.size)
        values = jax.jit(jax.vmap(value))
        central = (values(flat[None] + steps) - values(flat[None] - steps)) / 2e-6
        np.testing.assert_allclose(jax.grad(value)(flat), central, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("field", ["bias_scale", "length_scale"])
def test_settings_can_be_learnt(name, field):
    x, y = make_states(4), make_states(3, seed=1)
    with jax.enable_x64(True):
        kernel = students.make_kernel(name)

        def value(number):
            settings = SETTINGS._replace(**{field: number})
            return jnp.sum(jnp.sin(kernel.cross(settings, jnp.array(x), jnp.array(y))))

        central = (value(0.8 + 1e-6) - value(0.8 - 1e-6)) / 2e-6
        np.testing.assert_allclose(jax.grad(value)(0.8), central, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["ntk", "standard_ntk", "nngp"])
def test_a_depth_may_be_swept(name):
    x, y = make_states(4), make_states(3, seed=1)
    kernel = students.make_kernel(name)
    with jax.enable_x64(True):
        depths = jnp.arange(1, kernels.MAX_DEPTH + 1)
        swept = jax.vmap(lambda d: kernel.cross(SETTINGS._replace(depth=d), x, y))(depths)
        variances = jax.vmap(lambda d: kernel.variance(SETTINGS._replace(depth=d), x))(depths)
        for depth, cross, variance in zip(depths, swept, variances, strict=True):
            settings = SETTINGS._replace(depth=int(depth))
            np.testing.assert_allclose(cross, kernel.cross(settings, x, y), rtol=1e-12)
            np.testing.assert_allclose(variance, kernel.variance(settings, x), rtol=1e-12)


def test_ntk_of_one_layer_is_the_published_closed_form():
    # Bietti & Mairal (2019), section 2.2: |x| |y| (u k0(u) + k1(u)); with weights of variance
    # 2 / D the norms are those of sqrt(2 / D) x.
    x, y = make_states(7), make_states(6, seed=1)
    norms = np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(y, axis=1)[None, :]
    u = x @ y.T / norms
    k0 = (np.pi - np.arccos(u)) / np.pi
    k1 = (u * (np.pi - np.arccos(u)) + np.sqrt(1 - u**2)) / np.pi
    settings = students.KernelSettings(depth=1, bias_scale=0.0)
    expected = 2 / D * norms * (u * k0 + k1)
    np.testing.assert_allclose(cross_of("ntk", settings, x, y), expected, rtol=1e-12)


def test_nngp_is_the_composed_arc_cosine_kernel():
    # Cho & Saul (2009), equations 3, 6 and 14, order 1; J(0) = pi keeps |x| |y| as it is.
    x, y = make_states(7), make_states(6, seed=1)
    x_norm, y_norm = (np.linalg.norm(z, axis=1) for z in (x, y))
    norms = np.outer(x_norm, y_norm)
    value = x @ y.T
    for _ in range(3):
        angle = np.arccos(value / norms)
        value = norms * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / np.pi
    settings = students.KernelSettings(depth=3, bias_scale=0.0)
    np.testing.assert_allclose(cross_of("nngp", settings, x, y), 2 / D * value, rtol=1e-12)


def finite_network(key, x, width, depth, bias_scale):
    """Output gradients [points, parameters] and last features of a network as the NTK has it."""
    sizes = [D, *[width] * depth, 1]
    params = [
        (jax.random.normal(w, (fan_in, fan_out)), jax.random.normal(b, (fan_out,)))
        for (fan_in, fan_out), (w, b) in zip(
            itertools.pairwise(sizes),
            jax.random.split(key, (len(sizes) - 1, 2)),
            strict=True,
        )
    ]

    def hidden(params, point):
        for weights, bias in params:
            gain = (2.0 / weights.shape[0]) ** 0.5
            preactivation = gain * (point @ weights) + bias_scale * bias
            point = jax.nn.relu(preactivation)
        return preactivation

    def output(params, point):
        return hidden(params, point)[0]

    def gradient(point):
        return jax.flatten_util.ravel_pytree(jax.grad(output)(params, point))[0]

    return jax.lax.map(gradient, x), jax.vmap(functools.partial(hidden, params[:-1]))(x)


@pytest.mark.parametrize("depth", [1, 3])
def test_kernels_are_those_of_a_wide_network(depth):
    x = jnp.asarray(make_states(5), jnp.float32)
    width, bias_scale, draws = 512, 0.5, 100

    @jax.jit
    def one(key):
        gradients, preactivations = finite_network(key, x, width, depth, bias_scale)
        features = jax.nn.relu(preactivations)
        return gradients @ gradients.T, 2.0 * features @ features.T / width + bias_scale**2

    tangent, nngp = (
        np.mean(each, axis=0)
        for each in zip(
            *(one(key) for key in jax.random.split(jax.random.key(0), draws)), strict=True
        )
    )
    settings = students.KernelSettings(depth=depth, bias_scale=bias_scale)
    np.testing.assert_allclose(tangent, cross_of("ntk", settings, x, x), rtol=0.04)
    np.testing.assert_allclose(nngp, cross_of("nngp", settings, x, x), rtol=0.04)


def test_the_standard_ntk_is_that_of_our_mlp():
    """Gradients of the network that the students train, as it is initialised."""
    x, width, draws = jnp.asarray(make_states(5), jnp.float32), 512, 60
    network = networks.MLP((width,) * 3, 1)

    @jax.jit
    def one(key):
        params = networks.init_parameters(network, key, x)

        def gradient(point):
            return jax.flatten_util.ravel_pytree(
                jax.grad(lambda p: network.apply(p, point)[0])(params)
            )[0]

        gradients = jax.lax.map(gradient, x)
        return gradients @ gradients.T

    tangent = np.mean([one(key) for key in jax.random.split(jax.random.key(0), draws)], axis=0)
    settings = students.KernelSettings(depth=3, bias_scale=1.0, length_scale=(2 / D) ** 0.5)
    np.testing.assert_allclose(tangent, cross_of("standard_ntk", settings, x, x), rtol=0.04)


@pytest.mark.parametrize(
    ("name", "oracle"), [("rbf", sk.RBF(1.3)), ("matern", sk.Matern(1.3, nu=2.5))]
)
def test_stationary_kernels_are_scikit_learns(name, oracle):
    x, y = make_states(7), make_states(6, seed=1)
    # Ours divides squared distances by D, so that normalised states are about one apart.
    expected = oracle(x / D**0.5, y / D**0.5)
    np.testing.assert_allclose(cross_of(name, SETTINGS, x, y), expected, rtol=1e-9)


def test_gradients_are_finite_at_coincident_opposite_and_zero_states(name):
    x = jnp.asarray(make_states(3), jnp.float32)
    y = jnp.concatenate([x, -x, 2.0 * x, jnp.zeros((1, D))])
    kernel = students.make_kernel(name)
    for settings in (SETTINGS, SETTINGS._replace(bias_scale=1e-3)):
        cross, pull = jax.vjp(functools.partial(kernel.cross, settings), y, y)
        gradients = pull(jnp.ones_like(cross))
        assert np.isfinite(cross).all()
        scale = float(jnp.abs(cross).max()) / settings.bias_scale**2
        for gradient in gradients:
            assert np.isfinite(gradient).all()
            # Trained biases alone make a zero state's angles matter, and those have no gradient.
            if name != "standard_ntk":
                assert np.abs(gradient).max() < 100 * scale


def test_the_diagonal_of_a_kernel_matrix_moves_only_with_the_norm(name):
    """Coincident states have no angle between them, so a cusp there must not move them."""
    kernel = students.make_kernel(name)
    x = jnp.asarray(make_states(3), jnp.float32)
    diagonal = jax.grad(lambda x: jnp.trace(students.gram(kernel, SETTINGS, x)))(x)
    stated = jax.grad(lambda x: jnp.sum(kernel.variance(SETTINGS, x)))(x)
    np.testing.assert_allclose(diagonal, stated, rtol=1e-6)


def test_an_unknown_kernel_is_refused_with_those_known():
    with pytest.raises(
        InvalidInputError, match="'tanh'; known: ntk, standard_ntk, nngp, rbf, matern"
    ):
        students.make_kernel("tanh")
