"""The written-out second derivative against autodiff, in float64."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from obd_jax import students
from obd_jax.students.cloning_gradient import cloning_gradient

N, D, A = 9, 5, 3


def make_problem(hidden=(7, 6)):
    keys = iter(jax.random.split(jax.random.key(0), 20))
    sizes = (D, *hidden, A)
    layers = tuple(
        (
            jax.random.normal(next(keys), (inputs, outputs), jnp.float64) / inputs**0.5,
            0.1 * jax.random.normal(next(keys), (outputs,), jnp.float64),
        )
        for inputs, outputs in itertools.pairwise(sizes)
    )
    observations = jax.random.normal(next(keys), (N, D), jnp.float64)
    actions = jax.random.uniform(next(keys), (N, A), jnp.float64, -0.9, 0.9)
    direction = jax.tree.map(lambda x: jax.random.normal(next(keys), x.shape, x.dtype), layers)
    return layers, observations, actions, direction


def autodiff_gradient(error, layers, observations, actions):
    def loss(layers):
        hidden = observations
        for kernel, bias in layers[:-1]:
            hidden = jax.nn.relu(hidden @ kernel + bias[None, :])
        kernel, bias = layers[-1]
        return error(hidden @ kernel + bias[None, :], actions)

    return jax.grad(loss)(layers)


@pytest.mark.parametrize("name", students.CLONING_ERRORS)
@pytest.mark.parametrize("hidden", [(), (7,), (7, 6), (4, 6, 5)])
def test_gradient_and_its_derivative_equal_autodiff(name, hidden):
    error = students.CLONING_ERRORS[name]
    with jax.enable_x64(True):
        layers, observations, actions, direction = make_problem(hidden)

        def pulled_back(gradient):
            def run(layers, observations, actions):
                value, pull = jax.vjp(
                    lambda *inputs: gradient(error, *inputs), layers, observations, actions
                )
                return value, pull(direction)

            return jax.jit(run)(layers, observations, actions)

        for ours, theirs in zip(
            jax.tree.leaves(pulled_back(cloning_gradient)),
            jax.tree.leaves(pulled_back(autodiff_gradient)),
            strict=True,
        ):
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-13)
            assert np.abs(ours).max() > 0


def test_derivatives_batch_under_vmap():
    error = students.action_error
    with jax.enable_x64(True):
        layers, observations, actions, direction = make_problem()
        batch = jnp.stack([observations, 2.0 * observations])

        def pull(observations):
            _, back = jax.vjp(lambda o: cloning_gradient(error, layers, o, actions), observations)
            return back(direction)[0]

        together = jax.jit(jax.vmap(pull))(batch)
        for each, alone in zip(together, batch, strict=True):
            np.testing.assert_allclose(each, pull(alone), rtol=1e-9, atol=1e-13)
