"""Rollouts inside JAX."""

import jax
import jax.numpy as jnp
import numpy as np

from obd_jax import toy
from obd_jax.evaluation import functional_returns

ENVIRONMENT = toy.SPEC.functional._replace(horizon=7)
GAINS = jnp.array([0.3, -0.7])


def policy(gain, observations):
    return jnp.clip(gain * observations[..., :2], -1.0, 1.0)


def roll_out(**changes):
    counts = {"students": 2, "episodes": 3, "seed": 0, **changes}
    return functional_returns(policy, GAINS, ENVIRONMENT, **counts)


def test_returns_are_those_of_a_python_loop():
    keys = jax.random.split(jax.random.key(0), (2, 3))
    expected = np.zeros((2, 3))
    for student, episode in np.ndindex(2, 3):
        state = ENVIRONMENT.reset(keys[student, episode])
        for _ in range(ENVIRONMENT.horizon):
            action = policy(GAINS[student], ENVIRONMENT.observe(state))
            state, reward = ENVIRONMENT.step(state, action)
            expected[student, episode] += float(reward)
    returns = roll_out()
    assert returns.dtype == np.float64
    np.testing.assert_allclose(returns, expected, rtol=1e-5)


def test_every_episode_lasts_as_long_as_the_horizon():
    counted = []
    roll_out(lengths=counted.append)
    np.testing.assert_array_equal(counted, np.full((1, 2, 3), 7))


def test_every_episode_has_its_own_start_and_the_seed_decides_which():
    returns = roll_out()
    assert len(np.unique(returns)) == 6
    np.testing.assert_array_equal(returns, roll_out())
    assert not np.isin(returns, roll_out(seed=1)).any()


def test_a_second_call_is_not_traced_again():
    traces = []

    def counting(gain, observations):
        traces.append(None)
        return policy(gain, observations)

    for seed in range(3):
        functional_returns(counting, GAINS, ENVIRONMENT, students=2, episodes=3, seed=seed)
    assert len(traces) == 1
