"""Multilayer perceptrons; densities of squashed actions by scipy."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from obd_jax.networks import MLP, sample_squashed


def layers_of(params):
    layers = params["params"]
    return [(layers[f"Dense_{i}"]["kernel"], layers[f"Dense_{i}"]["bias"]) for i in range(4)]


def test_residual_layers_add_to_the_one_before_where_they_are_as_wide():
    network = MLP((6, 6, 5), 2, residual=True)
    inputs = jax.random.normal(jax.random.key(0), (7, 6))
    params = network.init(jax.random.key(1), inputs)
    params = jax.tree.map(lambda x: x + 0.1, params)
    (w0, b0), (w1, b1), (w2, b2), (w3, b3) = layers_of(params)
    # Inputs are as wide as the first layer, and are no activations.
    first = np.maximum(inputs @ w0 + b0[None], 0)
    second = first + np.maximum(first @ w1 + b1[None], 0)
    third = np.maximum(second @ w2 + b2[None], 0)
    np.testing.assert_allclose(network.apply(params, inputs), third @ w3 + b3[None], rtol=1e-5)


def test_without_it_they_do_not():
    network = MLP((6, 6, 6), 2)
    inputs = jnp.ones((1, 3))
    params = network.init(jax.random.key(1), inputs)
    hidden = inputs
    *hidden_layers, (w, b) = layers_of(params)
    for kernel, bias in hidden_layers:
        hidden = np.maximum(hidden @ kernel + bias[None], 0)
    np.testing.assert_allclose(network.apply(params, inputs), hidden @ w + b[None], rtol=1e-5)


@pytest.mark.parametrize("outputs", [1, 2])
def test_turned_parameters_give_the_same_outputs_and_turn_back(outputs):
    network = MLP((6, 6), outputs, layer_norm=True, residual=True)
    inputs = jax.random.normal(jax.random.key(0), (2, 7, 3))
    params = network.init(jax.random.key(1), inputs)
    params = jax.tree.map(lambda x: x + 0.1, params)
    turned = network.turn(params)
    assert turned["params"]["Dense_2"]["kernel"].shape == (outputs, 6)
    outputs_of_turned = network.copy(turned=True).apply(turned, inputs)
    np.testing.assert_allclose(outputs_of_turned, network.apply(params, inputs), rtol=1e-5)
    chex.assert_trees_all_equal(network.turn(turned), params)
    drawn = network.copy(turned=True).init(jax.random.key(1), inputs)
    chex.assert_trees_all_equal_shapes(drawn, turned)


def test_the_log_density_of_a_squashed_action_is_that_by_change_of_variables():
    mean, log_std = jnp.array([[0.3, -1.0], [0.0, 2.0]]), jnp.array([[-1.0, 0.2], [-3.0, 0.0]])
    actions, log_prob = sample_squashed(jax.random.key(0), mean, log_std)
    actions = np.asarray(actions, np.float64)
    normal = scipy.stats.norm.logpdf(np.arctanh(actions), mean, np.exp(log_std))
    expected = (normal - np.log(1 - actions**2)).sum(axis=1)
    np.testing.assert_allclose(log_prob, expected, rtol=1e-4)


def test_the_log_density_and_its_gradient_stay_finite_where_tanh_saturates():
    def log_prob(mean):
        return sample_squashed(jax.random.key(0), mean, jnp.zeros_like(mean))[1].sum()

    value, gradient = jax.value_and_grad(log_prob)(jnp.array([[50.0, -50.0]]))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
