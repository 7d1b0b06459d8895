"""Optimisers by name."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from obd_jax import optimizers
from obd_jax.types import InvalidInputError

START = {"a": jnp.array([1.0, -2.0]), "b": jnp.array(3.0)}


def trajectory(optimizer, steps=5):
    """Parameters after each step down a quadratic."""
    params, state, visited = START, optimizer.init(START), []
    for _ in range(steps):
        updates, state = optimizer.update(params, state, params)
        params = optax.apply_updates(params, updates)
        visited.append(params)
    return visited


@pytest.mark.parametrize(
    ("name", "momentum", "expected"),
    [
        ("sgd", 0.0, optax.sgd(0.1)),
        ("sgd", 0.9, optax.sgd(0.1, momentum=0.9)),
        ("nesterov", 0.9, optax.sgd(0.1, momentum=0.9, nesterov=True)),
        ("adam", 0.5, optax.adam(0.1, b1=0.5)),
        ("adamw", 0.5, optax.adamw(0.1, b1=0.5, weight_decay=0.01)),
        ("detached_adam", 0.5, optax.adam(0.1, b1=0.5)),
    ],
)
def test_names_stand_for_optax_optimizers(name, momentum, expected):
    visited = trajectory(optimizers.make(name, 0.1, momentum))
    close = lambda left, right: np.testing.assert_allclose(left, right, rtol=1e-5)  # noqa: E731
    jax.tree.map(close, visited, trajectory(expected))


def test_every_name_makes_an_optimizer_of_its_own():
    # Detached Adam takes the steps of Adam; only their derivatives differ.
    names = set(optimizers.OPTIMIZERS) - {"detached_adam"}
    ends = [trajectory(optimizers.make(name, 0.1, 0.9))[-1]["b"] for name in names]
    assert len(np.unique(ends)) == len(names)


def test_adam_has_a_finite_derivative_where_a_gradient_is_zero():
    optimizer = optimizers.make("adam", 0.1, 0.9)

    def moved(gradient):
        return optimizer.update(gradient, optimizer.init(gradient), gradient)[0]

    assert np.isfinite(jax.grad(moved)(0.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lamb", 0.1, 0.9), "unknown optimiser 'lamb'; known: sgd, nesterov, adam"),
        (("sgd", 0.0, 0.9), "learning rate must be positive, got 0.0"),
        (("sgd", -0.1, 0.9), "learning rate must be positive, got -0.1"),
        (("sgd", math.nan, 0.9), "learning rate must be positive, got nan"),
        (("adam", 0.1, 1.0), r"momentum must be in \[0, 1\), got 1.0"),
        (("adam", 0.1, -0.1), r"momentum must be in \[0, 1\), got -0.1"),
        (("nesterov", 0.1, math.nan), r"momentum must be in \[0, 1\), got nan"),
    ],
)
def test_unusable_settings_are_refused(arguments, message):
    with pytest.raises(InvalidInputError, match=message):
        optimizers.make(*arguments)


@pytest.mark.parametrize("size", [1e-3, 1e-5, 1e-7])
def test_adam_steps_do_not_shrink_with_small_gradients(size):
    """A synthetic set has some 6,000 numbers, and gradients of 1e-5 for each."""
    optimizer = optimizers.make("adam", 0.1, 0.9)
    params = jnp.zeros(3)
    updates, _ = optimizer.update(size * jnp.ones(3), optimizer.init(params), params)
    np.testing.assert_allclose(updates, -0.1, rtol=0.15)
