"""Soft actor-critic: steps by hand, a bandit by its known optimum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sac

from obd_jax.recorded import BehaviorPolicy

D, A, B = 3, 2, 64


def make_batch(key, actions=None, rewards=None):
    keys = jax.random.split(key, 4)
    actions = jax.random.uniform(keys[1], (B, A), minval=-1) if actions is None else actions
    return sac.Transitions(
        jax.random.normal(keys[0], (B, D)),
        actions,
        jax.random.normal(keys[2], (B,)) if rewards is None else rewards,
        jax.random.normal(keys[3], (B, D)),
        jnp.zeros(B),
    )


def test_log_deviations_are_clipped():
    mean, log_std = sac.gaussian(jnp.array([1.0, 2.0, -99.0, 99.0]))
    np.testing.assert_array_equal(mean, [1.0, 2.0])
    np.testing.assert_array_equal(log_std, [-20.0, 2.0])


def test_a_step_moves_the_targets_towards_the_critics():
    algorithm = sac.sac(D, A, hidden_sizes=(8,), target_rate=0.1)
    state = algorithm.init(jax.random.key(0))
    after, metrics = jax.jit(algorithm.update)(state, make_batch(jax.random.key(1)))
    expected = jax.tree.map(lambda old, new: 0.9 * old + 0.1 * new, state.targets, after.critics)
    for found, wanted in zip(*map(jax.tree.leaves, (after.targets, expected)), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7)
    assert all(np.isfinite(value) for value in metrics.values())


@pytest.mark.parametrize(("log_std", "falls"), [(0.0, True), (-8.0, False)])
def test_the_temperature_falls_with_entropy_to_spare_and_rises_without(log_std, falls):
    algorithm = sac.sac(D, A, hidden_sizes=(8,))
    state = algorithm.init(jax.random.key(0))
    last = state.actor["params"]["Dense_1"]
    last["bias"] = last["bias"].at[A:].set(log_std)
    after, metrics = jax.jit(algorithm.update)(state, make_batch(jax.random.key(1)))
    assert (metrics["entropy"] > -A) == falls
    assert (after.log_temperature < state.log_temperature) == falls


def test_the_best_action_and_value_of_a_bandit_are_found():
    """One step, reward 1 - |a - best|^2, in an environment that ends at once."""
    best = jnp.array([0.5, -0.3])
    algorithm = sac.sac(D, A, hidden_sizes=(32,), learning_rate=3e-3)

    def step(state, key):
        actions = jax.random.uniform(key, (B, A), minval=-1)
        rewards = 1 - jnp.sum(jnp.square(actions - best[None, :]), axis=1)
        batch = make_batch(key, actions, rewards)._replace(terminals=jnp.ones(B))
        return algorithm.update(state, batch)

    run = jax.jit(lambda state, keys: jax.lax.scan(step, state, keys))
    state = algorithm.init(jax.random.key(0))
    state, metrics = run(state, jax.random.split(jax.random.key(1), 2000))
    policy = BehaviorPolicy.from_params(state.actor)
    mean, _ = policy.gaussian(np.random.default_rng(0).normal(size=(100, D)).astype(np.float32))
    np.testing.assert_allclose(np.tanh(mean).mean(axis=0), best, atol=0.1)
    assert metrics["critic_loss"][-100:].mean() < 0.02
    assert metrics["entropy"][-100:].mean() == pytest.approx(-A, abs=0.5)
