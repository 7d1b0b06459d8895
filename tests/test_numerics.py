"""Primitives against their textbook definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.spatial

from obd_jax import numerics

# Angles down to where float32 cosines no longer tell them apart.
ANGLES = np.concatenate([np.logspace(-3, 0, 200), np.linspace(0.0, np.pi, 1001)])


def test_arccos_is_numpys_within_the_rounding_of_its_argument():
    cosines = np.cos(ANGLES).astype(np.float32)
    expected = np.arccos(cosines.astype(np.float64))
    np.testing.assert_allclose(numerics.arccos(jnp.asarray(cosines)), expected, atol=4e-7)
    np.testing.assert_allclose(
        numerics.arccos(jnp.asarray(cosines))[ANGLES < 0.1], expected[ANGLES < 0.1], rtol=2e-6
    )


def test_arccos_of_float64_is_exact():
    with jax.enable_x64(True):
        cosines = jnp.cos(jnp.asarray(ANGLES))
        assert cosines.dtype == jnp.float64
        np.testing.assert_allclose(numerics.arccos(cosines), np.arccos(cosines), rtol=1e-14)


def test_presquash_undoes_tanh_and_accepts_any_action():
    outputs = jnp.linspace(-3.0, 3.0, 7)
    np.testing.assert_allclose(numerics.presquash(jnp.tanh(outputs)), outputs, rtol=1e-5)
    beyond = numerics.presquash(jnp.array([-7.0, -1.0, 1.0, 7.0]))
    np.testing.assert_allclose(jnp.tanh(beyond), [-0.999, -0.999, 0.999, 0.999], rtol=1e-6)


def test_the_slope_of_presquash_beyond_saturation_is_that_at_it():
    actions = jnp.array([-5.0, -0.9995, -0.9, 0.0, 0.998, 1.0])
    expected = 1 / (1 - np.minimum(np.abs(actions), numerics.SATURATION).astype(float) ** 2)
    slope = jax.vmap(jax.grad(numerics.presquash))(actions)
    np.testing.assert_allclose(slope, expected, rtol=1e-4)
    _, forward = jax.jvp(numerics.presquash, (actions,), (jnp.ones(6),))
    np.testing.assert_allclose(forward, slope, rtol=1e-6)
    inner = actions[2:5]
    np.testing.assert_array_equal(slope[2:5], jax.vmap(jax.grad(jnp.arctanh))(inner))
    second = jax.vmap(jax.jacfwd(jax.grad(numerics.presquash)))(inner)
    np.testing.assert_allclose(second, 2 * inner / (1 - inner**2) ** 2, rtol=1e-3)


def test_squared_distances_are_scipys_and_never_negative():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 5)), rng.normal(size=(30, 5))
    expected = scipy.spatial.distance.cdist(x, y, "sqeuclidean")
    np.testing.assert_allclose(
        numerics.squared_distances(jnp.asarray(x), jnp.asarray(y)), expected, rtol=1e-5, atol=1e-5
    )
    same = 1e3 + jnp.asarray(x)
    assert np.asarray(numerics.squared_distances(same, same)).min() >= 0.0


def ratio(x, y, z):
    return jnp.sin(x) * y / (1.0 + jnp.square(z))


@pytest.mark.parametrize("argument", [0, 1, 2])
def test_derivatives_that_come_with_the_value_are_autodiffs(argument):
    rng = np.random.default_rng(0)
    values = [jnp.asarray(rng.normal(size=shape)) for shape in ((4, 3), (1, 3), (4, 1))]
    cotangent = jnp.asarray(rng.normal(size=(4, 3)))
    with_derivatives = numerics.with_derivatives(ratio)
    np.testing.assert_allclose(with_derivatives(*values), ratio(*values))
    actual, expected = (
        jax.grad(lambda *v, f=f: jnp.sum(cotangent * f(*v)), argument)(*values)
        for f in (with_derivatives, ratio)
    )
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)
    tangents = [
        jnp.ones_like(v) if i == argument else jnp.zeros_like(v) for i, v in enumerate(values)
    ]
    actual, expected = (
        jax.jvp(f, tuple(values), tuple(tangents))[1] for f in (with_derivatives, ratio)
    )
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("count", [1, 4, 5, 8, 11])
def test_rows_in_chunks_are_the_rows_at_once(count):
    rows = jax.random.normal(jax.random.key(0), (count, 3))
    shapes = []

    def function(chunk):
        shapes.append(chunk.shape)
        return jnp.sum(chunk, axis=1, keepdims=True) ** 2

    actual = numerics.map_rows(function, rows, 4)
    assert all(shape[0] <= 4 for shape in shapes)
    np.testing.assert_allclose(actual, np.sum(rows, axis=1, keepdims=True) ** 2, rtol=1e-6)


def test_what_is_rare_is_computed_only_when_one_of_a_batch_takes_it():
    calls = []

    def rare(x, other):
        jax.debug.callback(lambda: calls.append(1))
        return {"sum": x + other}

    @jax.jit
    def batched(predicates, x, other):
        one = lambda p, x: numerics.rarely(p, rare, lambda x, other: {"sum": x - other}, x, other)  # noqa: E731
        return jax.vmap(one)(predicates, x)["sum"]

    x = jnp.arange(3.0)
    np.testing.assert_array_equal(batched(jnp.zeros(3, bool), x, 1.0), x - 1)
    jax.effects_barrier()
    assert calls == []
    found = batched(jnp.array([False, True, False]), x, 1.0)
    np.testing.assert_array_equal(found, [-1.0, 2.0, 1.0])
    jax.effects_barrier()
    assert calls
    # Without a batch it is a plain `cond`, and a batch of batches is one batch.
    single = numerics.rarely(jnp.array(True), rare, lambda x, _: {"sum": x}, x, 1.0)
    np.testing.assert_array_equal(single["sum"], x + 1)
    predicates = jnp.array([[True, False, False], [False, False, True]])
    found = jax.vmap(batched, (0, None, None))(predicates, x, 1.0)
    np.testing.assert_array_equal(found, jnp.where(predicates, x + 1, x - 1))


@numerics.one_by_one_on_cpus
def solve(matrix, labels):
    return jnp.linalg.solve(matrix, labels)


MATRICES = np.random.default_rng(0).normal(size=(2, 3, 4, 4)) + 4.0 * np.eye(4)
LABELS = np.random.default_rng(1).normal(size=(2, 3, 4, 1))


@pytest.mark.parametrize("axes", [(0, 0), (0, None), (None, 0)])
def test_one_by_one_is_vmap(axes):
    matrices, labels = (
        jnp.asarray(values[0] if axis == 0 else values[0, 0])
        for values, axis in zip((MATRICES, LABELS), axes, strict=True)
    )
    found = jax.jit(jax.vmap(solve, axes))(matrices, labels)
    assert found.shape == (3, 4, 1)
    for i, each in enumerate(found):
        pair = [x[i] if axis == 0 else x for x, axis in zip((matrices, labels), axes, strict=True)]
        np.testing.assert_allclose(each, scipy.linalg.solve(*pair), rtol=1e-4)


@pytest.mark.parametrize(("platform", "batch"), [("cpu", "<4x4xf32>"), ("tpu", "<3x4x4xf32>")])
def test_one_by_one_is_for_cpus_alone(platform, batch):
    cholesky = numerics.one_by_one_on_cpus(jnp.linalg.cholesky)
    traced = jax.jit(jax.vmap(cholesky)).trace(jnp.asarray(MATRICES[0]))
    program = traced.lower(lowering_platforms=(platform,)).as_text()
    calls = [
        line for line in program.splitlines() if "stablehlo.cholesky" in line or "potrf" in line
    ]
    assert len(calls) == 1
    assert f"tensor{batch}" in calls[0]


def test_one_by_one_within_another_vmap_and_outside_of_a_compiled_function():
    expected = np.linalg.solve(MATRICES, LABELS)
    found = jax.vmap(jax.vmap(solve))(jnp.asarray(MATRICES), jnp.asarray(LABELS))
    np.testing.assert_allclose(found, expected, rtol=1e-4)
