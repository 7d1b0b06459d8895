"""The kernel student: ridge regression in closed form, in float32."""

import dataclasses
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import sklearn.kernel_ridge

from obd_jax import distill, evaluation, numerics, students
from obd_jax.types import InvalidInputError, SyntheticData, Targets

N, D, A, B = 12, 4, 2, 9
SETTINGS = students.KernelSettings(depth=2)
RECIPE = students.KernelRecipe("ntk", 2, 0.3, 1e-3, 1.0)


def make_pairs(count=N, dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(0))
    return SyntheticData(
        jax.random.normal(keys[0], (count, D), dtype),
        jax.random.uniform(keys[1], (count, A), dtype, -0.9, 0.9),
    )


def make_student(name="ntk", **changes):
    return students.kernel(students.make_kernel(name), SETTINGS._replace(**changes))


def matrix_of(name, pairs):
    return students.gram(students.make_kernel(name), SETTINGS, pairs.observations)


@pytest.mark.parametrize("name", students.KERNELS)
def test_it_is_scikit_learns_kernel_ridge_before_the_squash(name):
    with jax.enable_x64(True):
        pairs, states = make_pairs(dtype=jnp.float64), jax.random.normal(jax.random.key(5), (B, D))
        student, kernel = make_student(name, ridge=0.05), students.make_kernel(name)
        matrix = matrix_of(name, pairs)
        oracle = sklearn.kernel_ridge.KernelRidge(
            alpha=0.05 * np.trace(matrix) / N, kernel="precomputed"
        )
        oracle.fit(matrix, np.arctanh(pairs.actions))
        expected = np.tanh(oracle.predict(kernel.cross(SETTINGS, states, pairs.observations)))
        actual = student.act(student.fit(jax.random.key(0), pairs), states)
        np.testing.assert_allclose(actual, expected, rtol=1e-9)


def test_a_small_ridge_interpolates_and_a_large_one_shrinks():
    with jax.enable_x64(True):  # In float32 the kernel's cusp is cut off a little earlier.
        pairs = make_pairs(dtype=jnp.float64)
        errors = []
        for ridge in (1e-6, 1e-2, 1.0, 100.0):
            student = make_student(ridge=ridge)
            actions = student.act(student.fit(jax.random.key(0), pairs), pairs.observations)
            errors.append(float(jnp.abs(actions - pairs.actions).max()))
    assert errors[0] < 1e-4
    assert errors == sorted(errors)
    assert np.abs(actions).max() < 0.1


def test_it_needs_no_key():
    pairs, student = make_pairs(), make_student()
    assert student.deterministic
    first, second = (student.fit(jax.random.key(seed), pairs) for seed in (0, 1))
    jax.tree.map(np.testing.assert_array_equal, first, second)


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_actions_are_bounded_and_act_row_by_row(batch):
    pairs, student = make_pairs(), make_student()
    params = student.fit(jax.random.key(0), pairs)
    observations = 100.0 * jax.random.normal(jax.random.key(2), (*batch, D))
    actions = student.act(params, observations)
    assert actions.shape == (*batch, A)
    assert np.abs(actions).max() <= 1.0
    rows = [student.act(params, row) for row in observations.reshape(-1, D)]
    np.testing.assert_allclose(actions.reshape(-1, A), rows, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [*students.KERNELS, "random features"])
@pytest.mark.parametrize("constraint", ["free", "squashed"])
def test_meta_gradient_equals_finite_differences_through_fit_and_act(name, constraint):
    with jax.enable_x64(True):
        pairs = make_pairs(6, jnp.float64)
        keys = jax.random.split(jax.random.key(1), 2)
        batch = Targets(
            jax.random.normal(keys[0], (B, D)),
            jax.random.uniform(keys[1], (B, A), minval=-0.9, maxval=0.9),
            jnp.linspace(0.1, 1.9, B),
        )
        if name == "random features":
            student = students.random_features(hidden_sizes=(7, 16), ridge=1e-2)
        else:
            student = make_student(name)
        encode, decode, _ = distill.make_constraint(constraint)

        def loss(coordinates):
            params = student.fit(jax.random.key(2), decode(coordinates))
            return distill.weighted_squared_error(student.act(params, batch.observations), batch)

        flat, unravel = jax.flatten_util.ravel_pytree(encode(pairs))
        losses = jax.jit(lambda points: jax.lax.map(lambda x: loss(unravel(x)), points))
        steps = 1e-5 * jnp.eye(flat.size)
        central = (losses(flat[None] + steps) - losses(flat[None] - steps)) / 2e-5
        gradient = jax.flatten_util.ravel_pytree(jax.jit(jax.grad(loss))(unravel(flat)))[0]
        np.testing.assert_allclose(gradient, central, rtol=1e-4, atol=1e-8)
        assert np.abs(gradient).max() > 1e-3


@pytest.mark.parametrize("ridge", [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1])
@pytest.mark.parametrize("duplicates", [0, 100])
def test_float32_is_float64_for_every_ridge(ridge, duplicates):
    """As large as the papers' sets; some of the pairs may be copies of others."""
    with jax.enable_x64(True):
        pairs = make_pairs(256, jnp.float64)
        rows = np.arange(256)
        rows[256 - duplicates :] -= 128
        # Labels of a policy, the same for the same state.
        policy = 0.9 * jnp.tanh(pairs.observations[:, :A])
        pairs = SyntheticData(pairs.observations[rows], policy[rows])
        states = jax.random.normal(jax.random.key(7), (500, D))
        student = make_student(ridge=ridge)

        def actions(pairs, states):
            return student.act(student.fit(jax.random.key(0), pairs), states)

        exact = actions(pairs, states)
        single = actions(*jax.tree.map(lambda x: x.astype(jnp.float32), (pairs, states)))
        assert single.dtype == jnp.float32
        np.testing.assert_allclose(single, exact, atol=1e-3)


def test_duplicated_pairs_act_as_one_of_half_the_ridge():
    with jax.enable_x64(True):
        pairs = make_pairs(dtype=jnp.float64)
        twice = jax.tree.map(lambda x: jnp.concatenate([x, x]), pairs)
        states = jax.random.normal(jax.random.key(7), (B, D))
        once, both = (make_student("rbf", ridge=ridge) for ridge in (0.05, 0.1))
        expected = once.act(once.fit(jax.random.key(0), pairs), states)
        actual = both.act(both.fit(jax.random.key(0), twice), states)
        np.testing.assert_allclose(actual, expected, rtol=1e-9)


def test_gradients_at_duplicated_pairs_are_finite():
    pairs = jax.tree.map(lambda x: jnp.concatenate([x, x, -x]), make_pairs())
    student = make_student()

    def loss(pairs):
        return jnp.sum(student.act(student.fit(jax.random.key(0), pairs), pairs.observations))

    for gradient in jax.tree.leaves(jax.jit(jax.grad(loss))(pairs)):
        assert np.isfinite(gradient).all()


def test_a_matrix_that_is_not_positive_definite_is_refused_with_ridge_and_pairs():
    pairs = jax.tree.map(lambda x: jnp.concatenate([x] * 20), make_pairs())
    student = make_student("rbf", ridge=0.0)
    message = r"trained on these 240 pairs is not finite; .* the ridge, which is 0\.0"
    with pytest.raises(evaluation.NotFiniteError, match=message):
        evaluation.fit_students(jax.random.key(0), student, pairs, 1)

    targets = Targets(pairs.observations, pairs.actions, jnp.ones(240))
    distiller = distill.distiller(student, optax.sgd(0.1))
    message = r"outer step 1, with 240 pairs; .* raise the ridge, which is 0\.0"
    with pytest.raises(distill.DivergedError, match=message):
        distill.train(jax.random.key(0), distiller, targets, pairs, steps=2, batch_size=8)


def test_chunks_bound_the_memory_of_acting_on_many_states(monkeypatch):
    student, pairs = make_student(), make_pairs(256)
    params = student.fit(jax.random.key(0), pairs)
    many = jax.ShapeDtypeStruct((1_000_000, D), jnp.float32)
    compiled = jax.jit(student.act).lower(params, many).compile()
    # One [1,000,000, 256] array alone would take 1,024 MB.
    assert compiled.memory_analysis().temp_size_in_bytes < 300e6

    # By its full name: `students.kernel` is the function.
    monkeypatch.setattr(importlib.import_module("obd_jax.students.kernel"), "CHUNK_SIZE", 16)
    with jax.enable_x64(True):
        pairs = make_pairs(dtype=jnp.float64)
        params = student.fit(jax.random.key(0), pairs)
        states = jax.random.normal(jax.random.key(1), (50, D))
        expected = jnp.concatenate(
            [student.act(params, states[i : i + 10]) for i in range(0, 50, 10)]
        )
        np.testing.assert_allclose(student.act(params, states), expected, rtol=1e-9)


def test_a_ridge_is_swept_by_vmap_over_what_makes_the_student():
    pairs = make_pairs()

    def actions(ridge):
        student = make_student(ridge=ridge)
        return student.act(student.fit(jax.random.key(0), pairs), pairs.observations)

    ridges = jnp.array([1e-3, 1e-1, 10.0])
    swept = jax.jit(jax.vmap(actions))(ridges)
    for ridge, expected in zip(ridges, swept, strict=True):
        np.testing.assert_allclose(actions(float(ridge)), expected, atol=1e-4)


def test_labels_of_saturated_actions_are_finite():
    pairs = make_pairs()._replace(actions=jnp.tile(jnp.array([[-1.0, 7.0]]), (N, 1)))
    student = make_student(ridge=1e-5)
    actions = student.act(student.fit(jax.random.key(0), pairs), pairs.observations)
    np.testing.assert_allclose(actions, jnp.tile(jnp.array([[-0.999, 0.999]]), (N, 1)), atol=1e-3)
    assert numerics.SATURATION == 0.999


def test_the_recipe_is_the_student_it_describes():
    pairs = make_pairs()
    settings = students.KernelSettings(2, 0.3, 1e-3, 1.0)
    direct = students.kernel(students.ntk(), settings)
    fitted = [s.fit(jax.random.key(0), pairs) for s in (RECIPE.student(A), direct)]
    jax.tree.map(np.testing.assert_array_equal, *fitted)


@pytest.mark.parametrize(
    "changes",
    [
        {"depth": 0},
        {"bias_scale": -1.0},
        {"ridge": -1e-3},
        {"length_scale": 0.0},
        {"ridge": float("nan")},
    ],
)
def test_numbers_out_of_range_are_refused(changes):
    ((field, value),) = changes.items()
    with pytest.raises(InvalidInputError, match=f"^{field} must be .*, got {value}$"):
        dataclasses.replace(RECIPE, **changes)


def test_an_unknown_kernel_is_refused():
    with pytest.raises(InvalidInputError, match="'cosine'; known: ntk"):
        dataclasses.replace(RECIPE, kernel="cosine")
