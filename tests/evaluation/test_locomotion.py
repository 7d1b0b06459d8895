"""The v4 tasks in MJX beside Gymnasium's, and in Brax's own tools."""

import subprocess
import sys
import warnings

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax import envs
from brax.io import html
from brax.training import acting

from obd_jax.evaluation import locomotion
from obd_jax.evaluation.locomotion import TASKS

STEPS = 200
# Programs of MJX take long to compile and these run once: half the time.
QUICK = {"xla_backend_optimization_level": 0}


@pytest.fixture(autouse=True, scope="module")
def _rank_promotion_of_mjx():
    with jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture(scope="module", autouse=True)
def _registered():
    locomotion.register()


def of_gymnasium(name):
    return gymnasium.make(gymnasium.registry[TASKS[name].gymnasium_id]).unwrapped


def recorded(name):
    """States of random walks, each third kicked, and what a random action does there."""
    rng = np.random.default_rng(0)
    made = of_gymnasium(name)
    steps, age = [], np.inf
    for i in range(STEPS):
        if age > 30:
            made.reset(seed=i)
            age = 0
        kick = 5.0 * rng.normal(size=made.model.nv) if i % 3 == 0 else 0.0
        q, qd = np.float32(made.data.qpos), np.float32(made.data.qvel + kick)
        action = rng.uniform(-1, 1, made.model.nu).astype(np.float32)
        made.set_state(q.astype(float), qd.astype(float))
        observation, reward, terminated, *_ = made.step(action)
        steps.append((q, qd, action, observation, reward, terminated))
        age = np.inf if terminated else age + 1
    made.close()
    return tuple(np.array(values) for values in zip(*steps, strict=True))


@pytest.fixture(scope="module", params=TASKS)
def both(request):
    """(states after a control step in Brax, what Gymnasium made of the same)."""
    environment = envs.get_environment(request.param)
    q, qd, actions, *expected = recorded(request.param)

    def step(q, qd, action):
        zero = jnp.zeros(())
        before = envs.State(environment.pipeline_init(q, qd), zero, zero, zero)
        return environment.step(before, action)

    states = jax.jit(jax.vmap(step), compiler_options=QUICK)(q, qd, actions)
    return environment, states, expected


@pytest.mark.slow
def test_a_control_step_is_gymnasiums(both):
    _, states, (observations, rewards, terminated) = both
    assert np.median(np.abs(states.obs - observations)) <= 1e-4
    np.testing.assert_allclose(states.obs, observations, atol=1e-2)
    np.testing.assert_allclose(states.reward, rewards, atol=1e-3)
    np.testing.assert_array_equal(states.done, terminated.astype(np.float32))


def test_states_that_were_compared_reach_limits(both):
    environment, _, (observations, _, terminated) = both
    task = environment._task
    if np.isfinite(task.velocity_limit):
        assert (np.abs(observations) == task.velocity_limit).any()
        assert 10 < terminated.sum() < STEPS / 2


def test_sizes_and_time_are_gymnasiums(both):
    environment, states, (observations, *_) = both
    assert environment.backend == "mjx"
    assert environment.observation_size == observations.shape[1] == states.obs.shape[1]
    name = next(name for name, task in TASKS.items() if task is environment._task)
    made = of_gymnasium(name)
    assert environment.action_size == made.action_space.shape[0]
    assert float(environment.dt) == pytest.approx(made.dt)
    made.close()


def test_the_viewer_of_brax_shows_the_states(both):
    environment, states, _ = both
    trajectory = [jax.tree.map(lambda x, i=i: x[i], states.pipeline_state) for i in range(2)]
    page = html.render(environment.sys.tree_replace({"opt.timestep": environment.dt}), trajectory)
    assert "<html>" in page
    assert len(page) > 1_000


@pytest.mark.parametrize("name", TASKS)
def test_first_states_have_the_distribution_of_gymnasiums(name):
    task, made = TASKS[name], of_gymnasium(name)
    theirs = []
    for i in range(400):
        made.reset(seed=i)
        theirs.append(
            np.concatenate([made.data.qpos - made.init_qpos, made.data.qvel - made.init_qvel])
        )
    theirs = np.array(theirs)
    keys = jax.random.split(jax.random.key(0), 4000)
    noise = jax.vmap(lambda key: locomotion.reset_noise(task, key, made.model.nq, made.model.nv))
    ours = np.concatenate(noise(keys), axis=1)
    made.close()
    assert ours.shape[1] == theirs.shape[1]
    assert len(np.unique(ours)) > 0.9 * ours.size
    # Of each coordinate: mean 0, and the same deviation and kurtosis, which uniform and normal
    # noise do not share (1.8 and 3).
    np.testing.assert_allclose(ours.mean(axis=0), 0.0, atol=4 * task.reset_scale / 4000**0.5)
    for power, tolerance in ((2, 0.25), (4, 0.5)):
        found, expected = ((x**power).mean(axis=0) for x in (ours, theirs))
        np.testing.assert_allclose(found, expected, rtol=tolerance)
    kurtosis = (ours**4).mean(axis=0) / (ours**2).mean(axis=0) ** 2
    uniform, normal = kurtosis[: made.model.nq], kurtosis[made.model.nq :]
    np.testing.assert_allclose(uniform, 1.8, atol=0.15)
    np.testing.assert_allclose(normal, 3.0 if task.normal_velocities else 1.8, atol=0.5)


def test_a_reset_is_the_first_state_with_noise():
    environment = envs.get_environment("gymnasium_hopper_v4")
    first_q, first_qd = environment._first
    state = jax.jit(environment.reset, compiler_options=QUICK)(jax.random.key(3))
    q, qd = state.pipeline_state.q, state.pipeline_state.qd
    assert 0 < np.abs(q - first_q).max() < 5e-3
    assert 0 < np.abs(qd - first_qd).max() < 5e-3
    np.testing.assert_array_equal(state.obs, np.concatenate([q[1:], qd]))
    made = of_gymnasium("gymnasium_hopper_v4")
    made.set_state(np.asarray(q, float), np.asarray(qd, float))
    np.testing.assert_allclose(state.pipeline_state.x.pos, made.data.xpos[1:], atol=1e-5)
    np.testing.assert_allclose(state.pipeline_state.x.rot, made.data.xquat[1:], atol=1e-5)
    made.close()


def test_healthy_states_are_gymnasiums():
    rng = np.random.default_rng(0)
    for name in ("gymnasium_hopper_v4", "gymnasium_walker2d_v4"):
        made = of_gymnasium(name)
        model = made.model
        q = rng.normal(size=(300, model.nq)) * [1, 0.8, *[0.3] * (model.nq - 2)] + made.init_qpos
        qd = rng.normal(size=(300, model.nv)) * 30
        found = jax.vmap(lambda q, qd, task=TASKS[name]: locomotion.healthy(task, q, qd))(q, qd)
        expected = []
        for one_q, one_qd in zip(q, qd, strict=True):
            made.data.qpos[:], made.data.qvel[:] = one_q, one_qd
            expected.append(made.is_healthy)
        made.close()
        assert 20 < sum(expected) < 280
        np.testing.assert_array_equal(found, expected)


def policy_of(gain):
    return lambda observations, _: (jnp.tanh(gain * observations[..., :3]), {})


def wrapped(length):
    environment = envs.get_environment("gymnasium_hopper_v4")
    return envs.training.wrap(environment, episode_length=length)


def test_tools_of_brax_take_the_task():
    """`envs.training.wrap` and `acting.generate_unroll` trace it; a slow test runs them."""
    environment = wrapped(length=1000)

    def unroll(key):
        state = environment.reset(jax.random.split(key, 2))
        fields = ("truncation", "steps")
        return acting.generate_unroll(environment, state, policy_of(0.5), key, 7, fields)

    state, transitions = jax.eval_shape(unroll, jax.random.PRNGKey(0))
    assert state.obs.shape == (2, 11)
    assert transitions.observation.shape == (7, 2, 11)
    assert transitions.action.shape == (7, 2, 3)
    assert transitions.reward.shape == transitions.discount.shape == (7, 2)


@pytest.mark.slow
def test_the_evaluator_of_brax_rolls_the_task_out():
    """`acting.Evaluator`, which calls `generate_unroll` on the wrapped task."""
    length, count = 3, 2
    evaluator = acting.Evaluator(
        wrapped(length), policy_of, count, length, action_repeat=1, key=jax.random.PRNGKey(0)
    )
    found = evaluator.run_evaluation(jnp.float32(0.5), {})
    assert found["eval/avg_episode_length"] == length  # No limit of its own: the wrapper's.
    assert 0.5 * length < found["eval/episode_reward"] < 2.0 * length
    assert found["eval/episode_reward_std"] > 0


def test_importing_the_package_imports_neither_brax_nor_mjx():
    code = (
        "import sys, obd_jax.evaluation, obd_jax.data, obd_jax.distill, obd_jax.teachers\n"
        "assert not {'brax', 'mujoco.mjx'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_only_braxs_advice_is_held_back():
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        with locomotion._without_advice():
            warnings.warn("Brax System, piplines and environments are", stacklevel=1)
            warnings.warn("anything else", stacklevel=1)
    assert [str(warning.message) for warning in shown] == ["anything else"]
