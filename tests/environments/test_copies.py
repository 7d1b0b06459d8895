"""Copies that advance together: in a batch of MuJoCo's bit for bit as Gymnasium has them."""

import gymnasium
import mujoco
import numpy as np
import pytest

from obd_jax import environments, recorded
from obd_jax.environments import copies as module
from obd_jax.environments import make_copies
from obd_jax.environments.batched import _CLOCK, Batched
from obd_jax.environments.copies import OneByOne

COUNT = 5


@pytest.fixture
def short_episodes(monkeypatch):
    for name in ("Hopper-v4", "HalfCheetah-v4", "Walker2d-v4"):
        monkeypatch.setattr(gymnasium.registry[name], "max_episode_steps", 25)


def states(copies):
    if isinstance(copies, Batched):
        return np.concatenate([copies._q, copies._qd], axis=1)
    bodies = [made.unwrapped.data for made in copies._made]
    return np.array([np.concatenate([body.qpos, body.qvel]) for body in bodies])


def assert_same(ours, theirs):
    np.testing.assert_array_equal(states(ours), states(theirs))
    assert ours.observations.dtype == theirs.observations.dtype == np.float32
    np.testing.assert_array_equal(ours.observations, theirs.observations)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", ["hopper", "halfcheetah", "walker2d"])
def test_a_batch_is_gymnasiums_bit_for_bit(name, threads, short_episodes):
    """Through ends of both kinds, resets without a seed, and steps of only some copies."""
    environment, rng = environments.get(name), np.random.default_rng(0)
    both = make_copies(environment, COUNT, threads), OneByOne(environment, COUNT)
    assert isinstance(both[0], Batched)
    assert both[0].action_size == both[1].action_size
    assert both[0].horizon == both[1].horizon == 25
    for i in range(COUNT):
        for copies in both:
            copies.reset(i, seed=7 + i)
    assert_same(*both)
    ends = np.zeros(2, int)
    for step in range(300):
        rows = np.arange(COUNT) if step % 3 else np.flatnonzero(rng.random(COUNT) < 0.6)
        # Gymnasium charges for what lies beyond the bounds; MuJoCo clips it.
        actions = rng.uniform(-1.3, 1.3, (len(rows), both[0].action_size)).astype(np.float32)
        actions[rows % 2 == 0] *= 0.02  # These stand until time runs out.
        found, expected = (copies.step(rows, actions) for copies in both)
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)
        ends += expected.terminated.sum(), expected.truncated.sum()
        for row in rows[expected.terminated | expected.truncated]:
            for copies in both:
                copies.reset(int(row))
        assert_same(*both)
    assert (ends > 10).tolist() == [name != "halfcheetah", True]
    for copies in both:
        copies.close()


def test_actions_in_float64_cost_what_they_do_in_gymnasium():
    environment = environments.get("halfcheetah")
    both = make_copies(environment, 2), OneByOne(environment, 2)
    actions = np.random.default_rng(0).uniform(-1, 1, (2, 6))
    rewards = []
    for copies in both:
        for i in range(2):
            copies.reset(i, seed=i)
        rewards.append(copies.step(np.arange(2), actions).rewards)
    np.testing.assert_array_equal(*rewards)
    assert (rewards[0] != both[0].step(np.arange(2), actions.astype(np.float32)).rewards).all()


def test_recorded_rows_are_the_same_in_a_batch(monkeypatch):
    environment = environments.get("hopper")
    policy = recorded.snapshot("hopper", recorded.snapshots("hopper")[0])
    ours = recorded.roll_out(policy.sample, environment, 1200, seed=4)
    monkeypatch.setattr(recorded.rollouts, "make_copies", OneByOne)
    theirs = recorded.roll_out(policy.sample, environment, 1200, seed=4)
    assert ours["terminals"].sum() > 5
    for name, array in theirs.items():
        np.testing.assert_array_equal(ours[name], array)


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [("Pendulum-v1", None), ("ant", None), ("hopper", {"reset_noise_scale": 0.1})],
)
def test_other_tasks_are_stepped_by_gymnasium(name, kwargs):
    assert isinstance(make_copies(environments.get(name, kwargs), 2), OneByOne)


def test_a_mujoco_without_batches_leaves_all_to_gymnasium(monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    assert isinstance(make_copies(environments.get("hopper"), 2), OneByOne)


def test_actions_of_another_shape_are_refused():
    copies = make_copies(environments.get("hopper"), 2)
    for actions in (np.zeros((2, 1)), np.zeros((1, 3)), np.zeros(3)):
        with pytest.raises(ValueError, match=r"actions \[2, 3\], found"):
            copies.step(np.arange(2), actions)


def test_the_clock_of_mujoco_is_put_back():
    clock, copies, seen = _CLOCK.value, make_copies(environments.get("hopper"), 2), []
    assert clock

    class Failing:
        def step(self, rows, substeps):
            seen.append(_CLOCK.value)
            raise RuntimeError("diverged")

    copies.step(np.arange(2), np.zeros((2, 3), np.float32))
    assert _CLOCK.value == clock
    copies._batch = Failing()
    with pytest.raises(RuntimeError, match="diverged"):
        copies.step(np.arange(2), np.zeros((2, 3), np.float32))
    assert (seen, _CLOCK.value) == ([None], clock)
    with environments.make(environments.get("hopper")) as made:
        made.reset(seed=0)
        made.step(np.zeros(3, np.float32))
        assert made.unwrapped.data.timer[mujoco.mjtTimer.mjTIMER_STEP].duration > 0
