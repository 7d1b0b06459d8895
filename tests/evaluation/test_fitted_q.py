"""Fitted Q evaluation against values that are known in closed form."""

import jax
import numpy as np
import pytest

from obd_jax import data, toy
from obd_jax.evaluation.fitted_q import Transitions, fitted_q
from obd_jax.teachers.train import discounted_returns
from obd_jax.types import InvalidInputError

DISCOUNT = 0.9
STATES = 5


def chain(rows=4000, seed=0):
    """A walk on a ring by uniform actions: up if the action is positive, else down.

    A step pays the number of the state it starts from; leaving the last state ends the walk.
    """
    rng = np.random.default_rng(seed)
    state, action = rng.integers(0, STATES, rows), rng.uniform(-1, 1, (rows, 1))
    following = (state + np.where(action[:, 0] > 0, 1, -1)) % STATES
    one_hot = np.eye(STATES, dtype=np.float32)
    return Transitions(
        one_hot[state],
        action.astype(np.float32),
        state.astype(np.float32),
        one_hot[following],
        (state == STATES - 1).astype(np.float32),
        np.zeros(rows, np.float32),
    )


def exact(up):
    """Values of the policy that goes up in the states `up` [STATES] bool: linear equations."""
    transition = np.zeros((STATES, STATES))
    for state in range(STATES - 1):
        transition[state, (state + (1 if up[state] else -1)) % STATES] = DISCOUNT
    return np.linalg.solve(np.eye(STATES) - transition, np.arange(STATES))


POLICIES = [np.ones(STATES, bool), np.array([False, True, False, True, True])]


def evaluate(transitions, policies, **changes):
    actions = np.where(np.stack(policies), 0.5, -0.5)[..., None].astype(np.float32)
    states = transitions.next_observations.argmax(axis=1)
    settings = {
        "members": 2,
        "steps": 3000,
        "hidden_sizes": (32,),
        "batch_size": 64,
        "learning_rate": 3e-3,
        "target_rate": 0.05,
        **changes,
    }
    critics = fitted_q(
        jax.random.key(0), transitions, actions[:, states], discount=DISCOUNT, **settings
    )
    return critics, actions


@pytest.mark.parametrize("up", POLICIES)
def test_values_of_a_chain_are_those_of_the_policy_not_of_the_data(up):
    critics, actions = evaluate(chain(), [up])
    values = np.asarray(critics.values(np.eye(STATES), actions[0]))
    assert values.shape == (2, STATES)
    np.testing.assert_allclose(values, [exact(up)] * 2, atol=0.08 * exact(up).max())
    assert np.abs(exact(POLICIES[0]) - exact(POLICIES[1])).max() > 0.2 * exact(up).max()


def test_members_evaluate_policies_in_turn():
    critics, actions = evaluate(chain(), POLICIES, members=4)
    which = [0, 1, 0, 1]
    values = np.asarray(critics.values(np.eye(STATES), actions[which]))
    expected = [exact(POLICIES[i]) for i in which]
    np.testing.assert_allclose(values, expected, atol=0.08 * np.max(expected))


def value_of_a_part(share, starts):
    """Mean discounted return of a share of the optimal force from states [B, 4] at rest.

    By the powers of the closed loop's linear dynamics; the twist turns forces and keeps lengths.
    """
    gain, _ = toy._optimum()
    loop = toy._A - share * np.outer(toy._B, gain)
    axes = np.stack([starts[:, ::2], starts[:, 1::2]], axis=1).astype(float)  # [B, axis, 2]
    total, weight = np.zeros(len(starts)), 1.0
    for _ in range(500):
        costs = np.square(axes) @ [1.0, 0.1] + 0.8 * np.square(share * axes @ gain)
        total += weight * (1 - costs.sum(axis=1))
        axes, weight = axes @ loop.T, weight * toy.DISCOUNT
    return float(total.mean())


def test_values_of_linear_regulators_are_found_from_data_of_another():
    offline = toy.offline_data(jax.random.key(0), 10_000)
    normalizer, teacher = data.normalizer(offline.observations), toy.teacher()
    transitions = Transitions(
        np.asarray(normalizer.normalize(offline.observations)),
        offline.actions,
        offline.rewards,
        np.asarray(normalizer.normalize(offline.next_observations)),
        np.zeros(len(offline)),
        discounted_returns(offline.rewards, offline.episode_starts, toy.DISCOUNT),
    )
    starts = offline.observations[offline.episode_starts]
    shares, normalized = [1.0, 0.25], np.asarray(normalizer.normalize(starts))
    following, first = (
        np.stack([share * np.asarray(teacher.act(states)) for share in shares])
        for states in (offline.next_observations, starts)
    )
    critics = fitted_q(
        jax.random.key(0),
        transitions,
        following,
        discount=toy.DISCOUNT,
        members=2,
        steps=5000,
        hidden_sizes=(64, 64),
    )
    found = np.asarray(critics.values(normalized, first)).mean(axis=1)
    exact = [value_of_a_part(share, starts) for share in shares]
    optimum = np.mean(teacher.value(starts, teacher.act(starts)))
    np.testing.assert_allclose(exact[0], optimum, rtol=1e-4)
    np.testing.assert_allclose(found, exact, atol=0.5)
    assert exact[0] - exact[1] > 1.0


def test_values_stay_within_what_rewards_allow():
    transitions = chain()._replace(terminals=np.zeros(4000, np.float32))
    critics, actions = evaluate(transitions, [POLICIES[0]], steps=500)
    values = np.asarray(critics.values(np.eye(STATES), actions[0]))
    assert (values > -10).all()
    assert (values < 10 + (STATES - 1) / (1 - DISCOUNT)).all()


def test_progress_is_reported_after_every_block():
    done = []
    evaluate(chain(100), [POLICIES[0]], steps=300, block=100, callback=lambda *r: done.append(r))
    assert [steps for steps, _ in done] == [100, 200, 300]
    assert np.isfinite([loss for _, loss in done]).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"steps": 0}, "multiple of 100, got 0"), ({"steps": 750}, "multiple of 100, got 750")],
)
def test_steps_that_are_no_blocks_are_refused(changes, words):
    with pytest.raises(InvalidInputError, match=words):
        evaluate(chain(100), [POLICIES[0]], **changes)


def test_next_actions_that_do_not_fit_are_refused():
    with pytest.raises(InvalidInputError, match=r"\[policies, 100, 1\] is needed"):
        fitted_q(jax.random.key(0), chain(100), np.zeros((1, 99, 1)))
