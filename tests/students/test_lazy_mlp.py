"""The linear MLP: against networks that are trained and kept linear."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from obd_jax import networks, students
from obd_jax.types import InvalidInputError, SyntheticData

N, D, A = 10, 4, 2
RECIPE = students.LazyMLPRecipe(2, 20, 0.02, 0.9, "presquash")


def make_pairs(dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(0))
    return SyntheticData(
        jax.random.normal(keys[0], (N, D), dtype),
        jax.random.uniform(keys[1], (N, A), dtype, -0.9, 0.9),
    )


def lazily_trained(key, pairs, states, width, scale=100.0):
    """Outputs of a network kept linear: scaled up, its rate down (Chizat et al. 2019)."""
    network = networks.MLP((width, width), A)
    start = network.init(key, states[0])

    def outputs(params, observations):
        return scale * (network.apply(params, observations) - network.apply(start, observations))

    def loss(params):
        return students.presquash_error(outputs(params, pairs.observations), pairs.actions)

    optimizer = optax.sgd(0.02 / scale**2, momentum=0.9)

    def step(carry, _):
        updates, state = optimizer.update(jax.grad(loss)(carry[0]), carry[1])
        return (optax.apply_updates(carry[0], updates), state), None

    (params, _), _ = jax.lax.scan(step, (start, optimizer.init(start)), length=20)
    return outputs(params, states)


def test_networks_kept_lazy_are_it_on_average():
    pairs, states = make_pairs(), jax.random.normal(jax.random.key(4), (20, D))
    student = RECIPE.student(A)
    expected = jnp.arctanh(student.act(student.fit(jax.random.key(0), pairs), states))
    errors = []
    for width in (16, 512):
        train = jax.jit(functools.partial(lazily_trained, pairs=pairs, states=states, width=width))
        outputs = [train(key) for key in jax.random.split(jax.random.key(1), 10)]
        errors.append(np.sqrt(np.mean((np.mean(outputs, axis=0) - expected) ** 2)))
    assert np.sqrt(np.mean(expected**2)) > 0.3
    assert errors[1] < 0.04
    assert errors[1] < 0.5 * errors[0]


def test_many_small_steps_end_at_the_ridgeless_kernel_student():
    with jax.enable_x64(True):
        pairs = make_pairs(jnp.float64)
        student = students.lazy_mlp(
            depth=2,
            steps=20_000,
            learning_rate=0.02,
            momentum=0.9,
            cloning_error=students.presquash_error,
        )
        settings = students.KernelSettings(2, 1.0, 0.0, (2 / D) ** 0.5)
        kernel = students.kernel(students.standard_ntk(), settings)
        states = jax.random.normal(jax.random.key(4), (20, D))
        actual, expected = (
            s.act(jax.jit(s.fit)(jax.random.key(0), pairs), states) for s in (student, kernel)
        )
        np.testing.assert_allclose(actual, expected, atol=1e-4)


@pytest.mark.parametrize("cloning", students.CLONING_ERRORS)
def test_meta_gradient_equals_finite_differences(cloning):
    with jax.enable_x64(True):
        student = dataclasses.replace(RECIPE, cloning=cloning, steps=7).student(A)
        pairs = make_pairs(jnp.float64)
        states = jax.random.normal(jax.random.key(4), (20, D))

        def loss(pairs):
            return jnp.sum(jnp.cos(student.act(student.fit(jax.random.key(0), pairs), states)))

        flat, unravel = jax.flatten_util.ravel_pytree(pairs)
        losses = jax.jit(lambda points: jax.lax.map(lambda x: loss(unravel(x)), points))
        steps = 1e-5 * jnp.eye(flat.size)
        central = (losses(flat[None] + steps) - losses(flat[None] - steps)) / 2e-5
        gradient = jax.flatten_util.ravel_pytree(jax.jit(jax.grad(loss))(pairs))[0]
        np.testing.assert_allclose(gradient, central, rtol=1e-5, atol=1e-8)
        assert np.abs(gradient).max() > 1e-3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "inner_steps must be at least 1, got 0"),
        ({"depth": 0}, "depth must be at least 1, got 0"),
        ({"learning_rate": 0.0}, "learning rate must be positive, got 0.0"),
        ({"momentum": 1.0}, r"momentum must be in \[0, 1\), got 1.0"),
        ({"cloning": "huber"}, "'huber'; known: action, presquash"),
    ],
)
def test_numbers_out_of_range_are_refused(changes, message):
    with pytest.raises(InvalidInputError, match=message):
        dataclasses.replace(RECIPE, **changes)
