"""Rollouts in Gymnasium."""

import types

import gymnasium
import jax.numpy as jnp
import numpy as np
import pytest

from obd_jax import environments, evaluation
from obd_jax.environments import EnvironmentSpec
from obd_jax.evaluation import gymnasium_returns, host_returns

HOPPER = environments.get("hopper")
GAINS = jnp.array([-0.5, 0.5])


def policy(gain, observations):
    """One product and a bound: the same bits in XLA as in numpy, however it is batched."""
    return jnp.clip(gain * observations[..., 1:4], -1.0, 1.0)


def roll_out(**changes):
    counts = {"students": 2, "episodes": 3, "seed": 5, **changes}
    return gymnasium_returns(policy, GAINS, HOPPER, **counts)


def plain_loop(gain, seed):
    """Return of one episode of one policy in one environment."""
    with gymnasium.make(gymnasium.registry["Hopper-v4"]) as environment:
        observation, _ = environment.reset(seed=seed)
        total, ended = 0.0, False
        while not ended:
            action = np.clip(np.float32(gain) * observation[1:4].astype(np.float32), -1, 1)
            observation, reward, terminated, truncated, _ = environment.step(action)
            total += reward
            ended = terminated or truncated
    return total


def test_returns_are_those_of_single_environments_one_after_another():
    expected = [plain_loop(GAINS[i // 3], seed=5 + i) for i in range(6)]
    returns = roll_out()
    assert returns.dtype == np.float64
    np.testing.assert_array_equal(returns.ravel(), expected)


def test_each_episode_may_have_a_seed_of_its_own():
    seeds = np.array([[9, 5, 6], [6, 7, 9]])
    expected = [
        [plain_loop(gain, seed) for seed in row]
        for gain, row in zip(GAINS, seeds.tolist(), strict=True)
    ]
    np.testing.assert_array_equal(roll_out(seed=seeds), expected)
    with pytest.raises(ValueError, match="reshape"):
        roll_out(seed=seeds[:, :2])


def test_the_seed_decides_the_episodes():
    returns = roll_out()
    np.testing.assert_array_equal(returns, roll_out())
    assert len(np.unique(returns)) == 6
    assert not np.isin(returns, roll_out(seed=100)).any()


class Countdown(gymnasium.Env):
    """Ends after as many steps as the seed says; a step after the end is an error."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
    closed = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = self.length = seed
        return np.array([self.left], np.float32), {}

    def step(self, action):
        assert self.left > 0, "stepped after the end"
        self.left -= 1
        observation = np.array([self.left], np.float32)
        # Actions are 1 / observation: they tell whether this environment's own is acted on.
        reward = float(action[0]) * (self.left + 1)
        return observation, reward, self.left == 0, False, {}

    def close(self):
        Countdown.closed += 1


@pytest.fixture
def countdown():
    name = "countdown-v0"
    gymnasium.register(name, Countdown, max_episode_steps=300)
    Countdown.closed = 0
    yield EnvironmentSpec("countdown", name, types.MappingProxyType({}), 0.0, 1.0)
    del gymnasium.registry[name]


@pytest.fixture
def pendulum():
    return environments.get("Pendulum-v1")


def reciprocal(scale, observations):
    return scale / jnp.maximum(observations, 1.0)


def test_ended_episodes_are_not_stepped_and_the_others_go_on(countdown):
    returns = gymnasium_returns(
        reciprocal, jnp.array([1.0, 0.5]), countdown, students=2, episodes=3, seed=1
    )
    # Episode i lasts 1 + i steps, each worth the student's scale.
    np.testing.assert_allclose(returns, [[1, 2, 3], [2, 2.5, 3]], rtol=1e-6)
    assert Countdown.closed == 6


def test_the_steps_of_every_episode_are_known(countdown):
    counted = []
    counts = {"students": 2, "episodes": 3, "seed": 1, "lengths": counted.append}
    gymnasium_returns(reciprocal, jnp.ones(2), countdown, **counts)
    evaluation.score_policies(reciprocal, jnp.ones(2), countdown, **counts)
    assert [steps.tolist() for steps in counted] == [[[1, 2, 3], [4, 5, 6]]] * 2


def test_time_limits_end_episodes(countdown):
    returns = gymnasium_returns(
        reciprocal, jnp.array([1.0]), countdown, students=1, episodes=2, seed=299
    )
    np.testing.assert_allclose(returns, [[299, 300]], rtol=1e-5)
    returns = gymnasium_returns(
        reciprocal, jnp.array([1.0]), countdown, students=1, episodes=1, seed=10_000
    )
    np.testing.assert_allclose(returns, [[300]], rtol=1e-5)


def test_progress_counts_steps_done_and_at_most_to_come(countdown):
    reports = []
    gymnasium_returns(
        reciprocal,
        jnp.array([1.0]),
        countdown,
        students=1,
        episodes=2,
        seed=250,
        progress=lambda done, total: reports.append((done, total)),
    )
    assert reports == [(200, 600), (400, 600), (501, 501)]


def test_further_calls_are_not_traced_again(countdown):
    traces = []

    def counting(scale, observations):
        traces.append(None)
        return reciprocal(scale, observations)

    for seed in (1, 4, 9):
        gymnasium_returns(
            counting, jnp.array([1.0, 0.5]), countdown, students=2, episodes=3, seed=seed
        )
    assert len(traces) == 1


def test_a_function_that_jax_cannot_trace_is_called_as_it_is(countdown):
    calls = []

    def act(observations):
        calls.append(observations.shape)
        return 1 / np.maximum(np.asarray(observations), 1.0)

    found = host_returns(act, countdown, episodes=3, seed=1)
    np.testing.assert_allclose(found, [1, 2, 3], rtol=1e-6)
    assert calls == [(3, 1)] * 3
    scored = evaluation.score_untraced(act, countdown, episodes=3, seed=1)
    np.testing.assert_allclose(scored, [[100, 200, 300]], rtol=1e-6)


def test_actions_reach_the_environment_in_its_own_units(pendulum):
    """Its torque is that of the policy times its bound, whatever the rollout."""
    actions = jnp.array([0.5, -1.0])

    def constant(action, observations):
        return action + jnp.zeros_like(observations[..., :1])

    returns = gymnasium_returns(constant, actions, pendulum, students=2, episodes=2, seed=3)
    expected = []
    for i, torque in enumerate([1.0, 1.0, -2.0, -2.0]):
        with gymnasium.make("Pendulum-v1") as environment:
            environment.reset(seed=3 + i)
            steps = [environment.step(np.array([torque], np.float32)) for _ in range(200)]
            expected.append(sum(reward for _, reward, *_ in steps))
    np.testing.assert_allclose(returns.ravel(), expected, rtol=1e-6)
