"""Recorded rollouts: D4RL's layout, repeatable, and what the environment says."""

import gymnasium
import numpy as np
import pytest

from obd_jax import data, environments, recorded, toy
from obd_jax.types import InvalidInputError

HOPPER = environments.get("hopper")
STEPS = 1003


@pytest.fixture(scope="module")
def rows():
    return recorded.roll_out(None, HOPPER, STEPS, seed=1)


def test_rows_are_as_many_as_asked_for_in_the_layout_of_d4rl(rows):
    shapes = {name: array.shape for name, array in rows.items()}
    assert shapes == {
        "observations": (STEPS, 11),
        "actions": (STEPS, 3),
        "rewards": (STEPS,),
        "terminals": (STEPS,),
        "timeouts": (STEPS,),
    }
    offline = data.from_arrays(**rows)
    assert len(offline) + rows["timeouts"].sum() == STEPS
    assert rows["terminals"].sum() > 10
    assert not (rows["terminals"] & rows["timeouts"]).any()
    assert rows["timeouts"][-1] or rows["terminals"][-1]


def test_rows_follow_one_another_as_the_environment_has_it(rows):
    env = gymnasium.make(gymnasium.registry["Hopper-v4"]).unwrapped
    env.reset(seed=0)
    checked = 0
    for row in range(0, 200, 7):
        if rows["terminals"][row] or rows["timeouts"][row]:
            continue
        state, after = rows["observations"][row], rows["observations"][row + 1]
        # Hopper's observation is its state but for the place, which nothing depends on.
        env.set_state(np.concatenate([[0.0], state[:5]]), state[5:].astype(np.float64))
        following, reward, *_ = env.step(rows["actions"][row])
        np.testing.assert_allclose(after, following, atol=2e-3)
        assert rows["rewards"][row] == pytest.approx(reward, abs=2e-3)
        checked += 1
    assert checked > 15


def test_a_seed_repeats_its_rollouts_and_another_does_not(rows):
    again = recorded.roll_out(None, HOPPER, STEPS, seed=1)
    for name, array in rows.items():
        np.testing.assert_array_equal(again[name], array)
    other = recorded.roll_out(None, HOPPER, STEPS, seed=2)
    assert np.abs(other["observations"][0] - rows["observations"][0]).max() > 1e-4


def test_actions_are_those_of_the_policy():
    # One linear layer whose mean is 0.3 everywhere and whose deviation is about 0.
    bias = np.concatenate([np.full(3, 0.3), np.full(3, -20.0)]).astype(np.float32)
    policy = recorded.BehaviorPolicy((np.zeros((11, 6), np.float32),), (bias,))
    actions = recorded.roll_out(policy.sample, HOPPER, 80, seed=0)["actions"]
    np.testing.assert_allclose(actions, np.tanh(0.3), atol=1e-6)


def test_without_a_policy_actions_are_uniform():
    actions = recorded.roll_out(None, HOPPER, 4000, seed=0)["actions"]
    np.testing.assert_allclose(actions.mean(axis=0), 0, atol=0.06)
    np.testing.assert_allclose(actions.std(axis=0), 1 / 3**0.5, atol=0.03)


def test_progress_ends_with_all_rows():
    seen = []
    recorded.roll_out(None, HOPPER, 16_000, seed=0, progress=lambda *args: seen.append(args))
    assert seen == [(8000, 16_000), (16_000, 16_000)]


def test_too_few_steps_and_other_tasks_are_refused():
    with pytest.raises(InvalidInputError, match="at least 8 steps are needed, got 7"):
        recorded.roll_out(None, HOPPER, 7, seed=0)
    with pytest.raises(InvalidInputError, match="not a task of Gymnasium"):
        recorded.roll_out(None, toy.SPEC, 100, seed=0)
