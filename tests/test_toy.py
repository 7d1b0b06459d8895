"""The point mass: its optimum, references and data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from obd_jax import toy
from obd_jax.environments import normalized_score
from obd_jax.teachers import check_teacher
from obd_jax.types import InvalidInputError

# The task as its docstring states it, for one axis.
A = np.array([[1.0, 0.1], [-0.1 * 0.2, 1.0 - 0.1 * 1.5]])
B = np.array([[0.0], [0.1 * 2.0]])
Q, R = np.diag([1.0, 0.1]), np.array([[0.8]])


def riccati(discount):
    """Cost-to-go and gain: scipy 1.x's solver on the equivalent undiscounted problem."""
    a, b = discount**0.5 * A, discount**0.5 * B
    cost = scipy.linalg.solve_discrete_are(a, b, Q, R)
    return cost, np.linalg.solve(R + b.T @ cost @ b, b.T @ cost @ a)


def rollout(act, key, episodes=200, start=None):
    """Observations, actions, rewards [E, horizon, ...] under act(observation, key)."""

    def episode(key):
        reset_key, act_key = jax.random.split(key)

        def scan_step(state, key):
            observation = toy.observe(state)
            action = act(observation, key)
            state, reward = toy.step(state, action)
            return state, (observation, action, reward)

        state = toy.reset(reset_key) if start is None else start
        return jax.lax.scan(scan_step, state, jax.random.split(act_key, toy.HORIZON))[1]

    return jax.jit(jax.vmap(episode))(jax.random.split(key, episodes))


def test_a_step_follows_the_equations():
    state = toy.State(jnp.array([0.5, -0.3]), jnp.array([0.2, 0.4]))
    (position, velocity), reward = toy.step(state, jnp.array([0.6, -0.2]))
    x, v, a = np.array([0.5, -0.3]), np.array([0.2, 0.4]), np.array([0.6, -0.2])
    turn = np.exp(1j * 2.0 * x[0]) * complex(*a)
    force = np.array([turn.real, turn.imag])
    np.testing.assert_allclose(position, x + 0.1 * v, rtol=1e-6)
    np.testing.assert_allclose(velocity, v + 0.1 * (2 * force - 0.2 * x - 1.5 * v), rtol=1e-5)
    expected = 1 - np.sum(x**2) - 0.1 * np.sum(v**2) - 0.8 * np.sum(a**2)
    np.testing.assert_allclose(reward, expected, rtol=1e-6)


def test_actions_out_of_bounds_are_clipped():
    state = toy.reset(jax.random.key(0))
    for left, right in zip(
        jax.tree.leaves(toy.step(state, jnp.array([3.0, -7.0]))),
        jax.tree.leaves(toy.step(state, jnp.array([1.0, -1.0]))),
        strict=True,
    ):
        np.testing.assert_array_equal(left, right)


def test_the_environment_has_the_sizes_it_states():
    state = toy.SPEC.functional.reset(jax.random.key(0))
    assert toy.SPEC.functional.observe(state).shape == (toy.SPEC.functional.observation_size,)
    action = jnp.zeros(toy.SPEC.functional.action_size)
    assert toy.SPEC.functional.step(state, action)[1].shape == ()


def test_the_teacher_is_the_solution_of_the_riccati_equation():
    cost, gain = riccati(toy.DISCOUNT)
    rng = np.random.default_rng(0)
    observations = rng.uniform(-0.5, 0.5, (3, 5, 4)).astype(np.float32)
    x = observations.reshape(3, 5, 2, 2).swapaxes(-1, -2)  # [..., axis, (position, velocity)]
    force = -(x @ gain.T)[..., 0]
    turned = np.exp(-2j * observations[..., 0]) * (force[..., 0] + 1j * force[..., 1])
    actions = np.stack([turned.real, turned.imag], -1)
    teacher = toy.teacher()
    np.testing.assert_allclose(teacher.act(observations), actions, atol=1e-5)
    best = 1 / (1 - toy.DISCOUNT) - np.einsum("...ai,ij,...aj->...", x, cost, x)
    np.testing.assert_allclose(teacher.value(observations, actions), best, rtol=1e-5)


def test_the_value_is_the_discounted_return_of_the_rest():
    teacher = toy.teacher()
    start = toy.State(jnp.array([0.7, -0.6]), jnp.array([0.1, 0.3]))
    first = jnp.array([0.4, 0.9])  # Any action; the optimum follows.
    after, reward = toy.step(start, first)
    _, _, rewards = rollout(lambda o, _: teacher.act(o), jax.random.key(0), 1, after)
    discounts = toy.DISCOUNT ** np.arange(1, toy.HORIZON + 1)
    # After the horizon the mass rests, so that the reward is 1 for ever.
    rest = toy.DISCOUNT ** (toy.HORIZON + 1) / (1 - toy.DISCOUNT)
    total = float(reward) + np.sum(discounts * np.asarray(rewards[0], np.float64)) + rest
    value = teacher.value(toy.observe(start), first)
    assert value.shape == ()
    np.testing.assert_allclose(value, total, rtol=1e-5)


def test_no_action_is_valued_above_the_teachers():
    teacher = toy.teacher()
    rng = np.random.default_rng(0)
    observations = rng.uniform(-0.5, 0.5, (1000, 4)).astype(np.float32)
    others = rng.uniform(-1, 1, (1000, 2)).astype(np.float32)
    best = teacher.value(observations, teacher.act(observations))
    assert (teacher.value(observations, others) <= best).all()


def test_the_optimum_never_meets_the_bounds():
    teacher = toy.teacher()
    corner = toy.State(jnp.array([1.0, 1.0]), jnp.zeros(2))  # The farthest of all starts.
    _, actions, _ = rollout(lambda o, _: teacher.act(o), jax.random.key(0), 1, corner)
    assert np.linalg.norm(actions, axis=-1).max() < 1


def test_references_are_the_expected_returns_of_random_and_optimal_actions():
    _, gain = riccati(toy.DISCOUNT)
    # Second moments of one axis: uniform on [-1, 1] has variance 1/3, and turning a vector of
    # two independent uniforms keeps its covariance.
    random = optimal = np.diag([1 / 3, 0.0])
    low = high = 0.0
    closed = A - B @ gain
    for _ in range(toy.HORIZON):
        low += 1 - 2 * (np.trace(Q @ random) + R[0, 0] / 3)
        high += 1 - 2 * np.trace((Q + gain.T @ R @ gain) @ optimal)
        random = A @ random @ A.T + B @ B.T / 3
        optimal = closed @ optimal @ closed.T
    np.testing.assert_allclose([toy.SPEC.reference_min, toy.SPEC.reference_max], [low, high], 1e-5)


def test_rollouts_score_as_the_references_say():
    teacher, key = toy.teacher(), jax.random.key(0)

    def score(act):
        returns = np.asarray(rollout(act, key, 2000)[2]).sum(axis=1)
        scores = normalized_score(toy.SPEC, returns)
        return scores.mean(), scores.std() / len(scores) ** 0.5

    mean, error = score(lambda o, _: teacher.act(o))
    assert abs(mean - 100) < 4 * error
    mean, error = score(lambda _, k: jax.random.uniform(k, (2,), minval=-1.0))
    assert abs(mean) < 4 * error


def test_offline_data_are_noisy_transitions_of_the_task():
    data = toy.offline_data(jax.random.key(0), 1050)
    teacher = toy.teacher()
    check_teacher(teacher, data)
    assert len(data) == 1050
    np.testing.assert_array_equal(data.episode_starts, np.arange(0, 1050, toy.HORIZON))
    assert len(data.episode_returns) == 10
    assert np.abs(data.actions).max() <= 1
    state = toy.State(jnp.asarray(data.observations[:, :2]), jnp.asarray(data.observations[:, 2:]))
    following, rewards = jax.vmap(toy.step)(state, jnp.asarray(data.actions))
    np.testing.assert_allclose(toy.observe(following), data.next_observations, atol=1e-6)
    np.testing.assert_allclose(rewards, data.rewards, atol=1e-5)
    np.testing.assert_allclose(
        data.episode_returns, data.rewards[:1000].reshape(10, -1).sum(1, dtype=float), rtol=1e-6
    )


def test_offline_data_lie_between_random_and_optimal_actions():
    data = toy.offline_data(jax.random.key(1), 10_000)
    assert 45 < normalized_score(toy.SPEC, data.episode_returns).mean() < 75


def test_offline_data_depend_on_the_key_alone():
    first, same, other = (toy.offline_data(jax.random.key(seed), 1100) for seed in (0, 0, 1))
    assert first.provenance == same.provenance
    assert first.provenance != other.provenance


@pytest.mark.parametrize("transitions", [-5, 0, 1])
def test_too_few_transitions_are_refused(transitions):
    with pytest.raises(InvalidInputError, match=f"{transitions} transitions asked for"):
        toy.offline_data(jax.random.key(0), transitions)
