"""Random features: a random hidden part, a last layer in closed form."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.linear_model

from obd_jax import students
from obd_jax.types import InvalidInputError, SyntheticData

N, D, A = 12, 4, 2
RECIPE = students.RandomFeaturesRecipe((16, 32), 1e-2)


def make_pairs():
    keys = jax.random.split(jax.random.key(0))
    return SyntheticData(
        jax.random.normal(keys[0], (N, D)),
        jax.random.uniform(keys[1], (N, A), minval=-0.9, maxval=0.9),
    )


def features_of(params, states):
    """By hand: ReLU of each layer in turn."""
    layers = params.hidden["params"]
    for name in sorted(layers):
        kernel, bias = (np.asarray(layers[name][leaf]) for leaf in ("kernel", "bias"))
        states = np.maximum(np.asarray(states) @ kernel + bias, 0.0)
    return states


def test_the_last_layer_is_scikit_learns_ridge_regression():
    pairs, student = make_pairs(), RECIPE.student(A)
    params = student.fit(jax.random.key(3), pairs)
    phi = features_of(params, pairs.observations)
    assert phi.shape == (N, 32)
    alpha = 1e-2 * np.sum(phi**2) / N
    oracle = sklearn.linear_model.Ridge(alpha=alpha, fit_intercept=False)
    oracle.fit(phi, np.arctanh(pairs.actions))
    np.testing.assert_allclose(params.output, oracle.coef_.T, rtol=1e-3, atol=1e-4)
    states = np.asarray(jax.random.normal(jax.random.key(4), (5, D)))
    expected = np.tanh(features_of(params, states) @ np.asarray(params.output))
    np.testing.assert_allclose(student.act(params, states), expected, rtol=1e-4, atol=1e-5)


def test_another_key_draws_other_features():
    pairs, student = make_pairs(), RECIPE.student(A)
    assert not student.deterministic
    states = jax.random.normal(jax.random.key(4), (5, D))
    actions = [student.act(student.fit(jax.random.key(s), pairs), states) for s in (0, 0, 1)]
    np.testing.assert_array_equal(actions[0], actions[1])
    assert np.abs(actions[0] - actions[2]).max() > 1e-2


def test_wide_features_are_the_nngp_kernel_student():
    pairs, states = make_pairs(), jax.random.normal(jax.random.key(4), (20, D))
    kernel = students.kernel(
        students.nngp(), students.KernelSettings(depth=2, bias_scale=0.0, ridge=1e-2)
    )
    expected = kernel.act(kernel.fit(jax.random.key(0), pairs), states)
    errors = []
    for width in (64, 2048):
        wide = students.random_features(hidden_sizes=(width, width), ridge=1e-2)
        actions = wide.act(wide.fit(jax.random.key(1), pairs), states)
        errors.append(float(jnp.sqrt(jnp.mean(jnp.square(actions - expected)))))
    assert errors[1] < 0.05
    assert errors[1] < 0.5 * errors[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_sizes": ()}, r"must be positive, got \(\)"),
        ({"hidden_sizes": (8, 0)}, r"must be positive, got \(8, 0\)"),
        ({"ridge": -1.0}, r"ridge must be .*, got -1\.0"),
    ],
)
def test_sizes_and_ridges_out_of_range_are_refused(changes, message):
    with pytest.raises(InvalidInputError, match=message):
        dataclasses.replace(RECIPE, **changes)
