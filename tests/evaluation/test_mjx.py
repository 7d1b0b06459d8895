"""Rollouts in Brax environments."""

import importlib
import json
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from obd_jax import environments, evaluation
from obd_jax.environments import simulated_by
from obd_jax.evaluation import gymnasium_returns, mjx, mjx_returns
from obd_jax.teachers import load_calql
from obd_jax.types import InvalidInputError

HOPPER = environments.get("hopper")
IN_MJX = simulated_by(HOPPER, "mjx")


@pytest.fixture(autouse=True, scope="module")
def _rank_promotion_of_mjx():
    with jax.numpy_rank_promotion("allow"):
        yield


class State(NamedTuple):
    """The part of Brax's that rollouts read."""

    left: jax.Array
    obs: jax.Array
    reward: jax.Array
    done: jax.Array


class Countdown:
    """An episode of a random number of steps, each worth the action; a step after it is NaN."""

    action_size = 1

    def reset(self, rng):
        left = jax.random.randint(rng, (), 1, 1500)
        return State(left, left[None].astype(jnp.float32), jnp.zeros(()), jnp.zeros(()))

    def step(self, state, action):
        left = state.left - 1
        reward = jnp.where(left >= 0, action[0], jnp.nan)
        return State(left, left[None].astype(jnp.float32), reward, (left <= 0).astype(jnp.float32))


@pytest.fixture
def countdown(monkeypatch):
    monkeypatch.setattr(mjx, "_made", lambda name, simulator: Countdown())
    mjx.programs.cache_clear()
    yield
    mjx.programs.cache_clear()


def constant(scale, observations):
    return scale + jnp.zeros_like(observations)


SCALES = jnp.array([1.0, 0.5, -2.0])


def roll_out(policy=constant, **changes):
    counts = {"students": 3, "episodes": 5, "seed": 0, **changes}
    return mjx_returns(policy, SCALES, IN_MJX, **counts)


def lengths(seed):
    keys = jax.random.split(jax.random.key(seed), (3, 5))
    draw = jax.vmap(jax.vmap(lambda key: jax.random.randint(key, (), 1, 1500)))
    return np.minimum(draw(keys), 1000)


@pytest.mark.usefixtures("countdown")
def test_episodes_end_on_their_own_or_after_a_thousand_steps():
    counted = []
    returns = roll_out(lengths=counted.append)
    assert returns.dtype == np.float64
    assert {True, False} == set((lengths(0) == 1000).ravel().tolist())
    np.testing.assert_allclose(returns, lengths(0) * np.asarray(SCALES)[:, None])
    np.testing.assert_array_equal(counted, [lengths(0)])


@pytest.mark.usefixtures("countdown")
@pytest.mark.parametrize("at_once", [1, 4, 7])
def test_how_many_advance_at_once_changes_nothing(at_once):
    np.testing.assert_array_equal(roll_out(at_once=at_once), roll_out())


@pytest.mark.usefixtures("countdown")
def test_on_a_cpu_few_advance_at_once(monkeypatch):
    together = []

    def programs(*arguments):
        together.append(arguments[-2:])
        return made(*arguments)

    made = mjx.programs
    with monkeypatch.context() as patch:
        patch.setattr(mjx, "programs", programs)
        few = roll_out(episodes=9)
        patch.setattr(mjx.jax, "default_backend", lambda: "gpu")
        np.testing.assert_array_equal(few, roll_out(episodes=9))
    assert together == [(3, 5), (3, 9)]


@pytest.mark.usefixtures("countdown")
def test_the_seed_decides_the_episodes():
    np.testing.assert_allclose(roll_out(seed=7), lengths(7) * np.asarray(SCALES)[:, None])


@pytest.mark.usefixtures("countdown")
def test_progress_counts_steps_done_and_at_most_to_come():
    reports = []
    roll_out(at_once=3, progress=lambda *report: reports.append(report))
    done, total = np.array(reports).T
    assert (np.diff(done)[:-1] > 0).all()
    assert done[-1] == total[-1] == done[-2]  # The end.
    assert (np.diff(total) <= 0).all()
    assert (done <= total).all()
    assert total[0] <= 15_000
    assert done[0] == np.minimum(lengths(0)[:, 0], mjx.BLOCK).sum()


@pytest.mark.usefixtures("countdown")
def test_further_calls_are_not_traced_again():
    traces = []

    def counting(scale, observations):
        traces.append(None)
        return constant(scale, observations)

    roll_out(counting)
    first = len(traces)
    for seed in (1, 2):
        roll_out(counting, seed=seed)
    assert len(traces) == first


def test_parts_are_equal_in_size_and_hold_every_index():
    for count in range(1, 40):
        for most in range(1, 45):
            parts = mjx._parts(count, most)
            assert parts.shape[1] <= most
            assert parts.size - count < parts.shape[0]
            np.testing.assert_array_equal(np.unique(parts), np.arange(count))


@pytest.mark.parametrize("module", ["brax", "mujoco.mjx"])
def test_what_is_not_installed_is_said(monkeypatch, module):
    mjx._made.cache_clear()
    importlib.import_module("brax.envs")  # Loads mujoco.mjx, so that without it brax is there.
    monkeypatch.setitem(sys.modules, module, None)
    # As if nothing had imported it before.
    monkeypatch.delitem(sys.modules, "obd_jax.evaluation.locomotion", raising=False)
    monkeypatch.delattr(evaluation, "locomotion", raising=False)
    for spec in (IN_MJX, simulated_by(HOPPER, "brax")):
        with pytest.raises(InvalidInputError, match=rf"need {module}, .*'obd-jax\[mjx\]'"):
            evaluation.check_environment(spec, 11, 3)


@pytest.mark.parametrize("simulator", ["mjx", "brax"])
@pytest.mark.parametrize(
    ("name", "sizes"), [("hopper", (11, 3)), ("halfcheetah", (17, 6)), ("walker2d", (17, 6))]
)
def test_sizes_of_environments_in_brax_are_checked(simulator, name, sizes):
    spec = simulated_by(environments.get(name), simulator)
    evaluation.check_environment(spec, *sizes)
    with pytest.raises(InvalidInputError, match=f"has {sizes[0]} observations .*; got 5 and"):
        evaluation.check_environment(spec, 5, sizes[1])


def push(action, observations):
    return action + jnp.zeros_like(observations[..., :3])


@pytest.mark.slow
def test_hoppers_that_fall_earn_in_mjx_what_they_earn_in_gymnasium():
    actions = jnp.array([[0.5, 0.5, 0.5], [0.0, 0.0, 0.8]])  # The second falls much later.
    counts = {"students": 2, "episodes": 10, "seed": 0}
    ours = evaluation.score_policies(push, actions, IN_MJX, **counts)
    returns = gymnasium_returns(push, actions, HOPPER, **counts)
    theirs = environments.normalized_score(HOPPER, returns)
    assert len(np.unique(ours)) == ours.size
    error = np.sqrt((ours.var(axis=1, ddof=1) + theirs.var(axis=1, ddof=1)) / 10)
    assert (error < 0.1 * np.ptp(theirs.mean(axis=1))).all()
    assert (np.abs(ours.mean(axis=1) - theirs.mean(axis=1)) <= 3 * error).all()


def test_any_task_of_brax_is_known_by_name():
    spec = environments.get("brax:inverted_pendulum")
    evaluation.check_environment(spec, 4, 1)
    with pytest.raises(InvalidInputError, match="Brax has no task 'nothing'; it has ant, fast"):
        evaluation.check_environment(environments.get("brax:nothing"), 4, 1)


def test_short_episodes_of_a_task_of_brax_are_scored_raw():
    spec = environments.get("brax:inverted_pendulum")

    def push(force, observations):
        return force + jnp.zeros_like(observations[..., :1])

    counts = {"students": 2, "episodes": 2, "seed": 0}
    scores = evaluation.score_policies(push, jnp.array([1.0, -1.0]), spec, **counts)
    assert scores.shape == (2, 2)
    # It pays 1 for every step until the pole falls.
    assert ((scores >= 1) & (scores < 50)).all()
    np.testing.assert_array_equal(scores, scores.round())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hopper", "halfcheetah", "walker2d"])
def test_returns_in_tasks_of_brax_stay_raw(name):
    spec = simulated_by(environments.get(name), "brax")
    size = 3 if name == "hopper" else 6

    def still(_, observations):
        return jnp.zeros_like(observations[..., :size])

    counts = {"students": 1, "episodes": 2, "seed": 0}
    scores = evaluation.score_policies(still, jnp.zeros(1), spec, **counts)
    np.testing.assert_array_equal(scores, mjx_returns(still, jnp.zeros(1), spec, **counts))
    assert np.isfinite(scores).all()


@pytest.mark.slow
@pytest.mark.parametrize("task", ["hopper", "halfcheetah", "walker2d"])
def test_released_actors_score_in_mjx_as_in_gymnasium(shared_data, task):
    """One trajectory soon differs, as rounding grows; what is compared is means of 20 episodes."""
    names = [f"{task}-{kind}" for kind in ("medium-replay", "medium", "medium-expert")]
    actors = [
        load_calql(
            shared_data / "obd_calql" / f"Cal-QL-{name}-v2.pt",
            shared_data / "d4rl_stats.json",
            f"{name}-v2",
        ).act
        for name in names
    ]

    def policy(which, observations):
        return jax.lax.switch(which, actors, observations)

    spec, counts = environments.get(task), {"students": 3, "episodes": 20, "seed": 0}
    params = jnp.arange(3)
    ours = evaluation.score_policies(policy, params, simulated_by(spec, "mjx"), **counts)
    theirs = evaluation.score_policies(policy, params, spec, **counts)
    error = np.sqrt((ours.var(axis=1, ddof=1) + theirs.var(axis=1, ddof=1)) / 20)
    for name, *row in zip(names, ours.mean(axis=1), theirs.mean(axis=1), error, strict=True):
        print(json.dumps({name: row}))
    assert (np.abs(ours.mean(axis=1) - theirs.mean(axis=1)) <= 3 * error).all()
