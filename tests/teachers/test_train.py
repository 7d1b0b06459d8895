"""The training loop: what it trains on, that it goes on where it stopped, and when it stops."""

import importlib

import jax
import numpy as np
import pytest

from obd_jax import data, teachers
from obd_jax.teachers import iql, rebrac
from obd_jax.teachers.train import discounted_returns
from obd_jax.types import InvalidInputError

# The package's function of the same name hides the module.
train_loop = importlib.import_module("obd_jax.teachers.train")


def recorded(rows=60, rewards=None, **changes):
    rng = np.random.default_rng(0)
    fields = {
        "observations": rng.normal(3, 2, (rows, 3)),
        "actions": rng.uniform(-1, 1, (rows, 2)),
        "rewards": rng.normal(size=rows) if rewards is None else rewards,
        "terminals": np.arange(rows) % 10 == 4,
        "timeouts": np.arange(rows) % 10 == 9,
        **changes,
    }
    return data.from_arrays(**fields)


def tiny(**options):
    return rebrac(3, 2, hidden_sizes=(8,), **{"batch_size": 16, **options})


def same(left, right):
    for one, other in zip(
        jax.tree.leaves(left._replace(key=0)), jax.tree.leaves(right._replace(key=0)), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_transitions_are_normalised_and_followed_by_what_the_data_do():
    offline = recorded()
    made = teachers.prepare(tiny(critic_penalty=0.0), offline)
    batch = made.transitions
    np.testing.assert_allclose(
        batch.observations, made.normalizer.normalize(offline.observations), atol=1e-6
    )
    np.testing.assert_allclose(np.mean(batch.observations, axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(np.std(batch.observations, axis=0), 1, atol=1e-2)
    np.testing.assert_array_equal(batch.next_actions, offline.next_actions)
    assert made.reward_scale == 1.0
    assert made.value_bound == pytest.approx(100 * np.abs(offline.rewards).max(), rel=1e-6)


def test_returns_are_discounted_to_the_end_of_the_episode():
    rewards = np.array([1.0, 2.0, 3.0, 10.0, 20.0])
    found = discounted_returns(rewards, np.array([0, 3]), 0.5)
    np.testing.assert_allclose(found, [1 + 1 + 0.75, 2 + 1.5, 3, 10 + 10, 20])


def test_iql_scales_rewards_by_the_range_of_returns():
    offline = recorded()
    made = teachers.prepare(iql(3, 2, hidden_sizes=(8,), batch_size=16), offline)
    scale = 1000 / np.ptp(offline.episode_returns)
    assert made.reward_scale == pytest.approx(scale)
    np.testing.assert_allclose(made.transitions.rewards, scale * offline.rewards, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rewards": np.zeros(60)}, r"all rewards are 0 \(or missing\)"),
        ({"rewards": np.full(60, 2.5), "terminals": np.zeros(60)}, r"all rewards are 2.5"),
        ({"rows": 12}, "10 transitions are fewer than a batch of 16"),
    ],
)
def test_data_that_teach_nothing_are_refused(changes, message):
    with pytest.raises(InvalidInputError, match=message):
        teachers.prepare(tiny(), recorded(**changes))


def test_training_resumes_bit_by_bit_where_it_stopped():
    algorithm, key = tiny(), jax.random.key(3)
    made = teachers.prepare(algorithm, recorded())
    whole = teachers.train(key, algorithm, made, steps=40, block=10)
    half = teachers.train(key, algorithm, made, steps=20, block=10)
    rest = teachers.train(key, algorithm, made, steps=40, block=10, state=half)
    same(whole, rest)


def test_blocks_are_reported_and_compiled_once():
    algorithm = tiny()
    made = teachers.prepare(algorithm, recorded())
    records = []
    teachers.train(
        jax.random.key(0),
        algorithm,
        made,
        steps=30,
        block=10,
        callback=lambda *a: records.append(a),
    )
    assert [record["step"] for _, record in records] == [10, 20, 30]
    assert {"seconds", "critic_loss", "value"} <= set(records[0][1])
    before = teachers.train.__globals__["_updates"]._cache_size()
    teachers.train(jax.random.key(1), algorithm, made, steps=10, block=10)
    assert teachers.train.__globals__["_updates"]._cache_size() == before


class Watch:
    """A clock that others set."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(train_loop.time, "perf_counter", lambda: self.now)


def test_a_budget_ends_the_training_and_anneals_it(monkeypatch):
    algorithm = tiny()
    made = teachers.prepare(algorithm, recorded())
    watch, given, records = Watch(monkeypatch), [], []

    def updates(algorithm, block, key, state, transitions, scales):
        given.append(scales)
        watch.now += 1.0
        return state._replace(step=state.step + block), {"value": np.zeros(())}

    def callback(_, record):
        records.append(record)
        watch.now += 7.0  # Its own time does not count.

    monkeypatch.setattr(train_loop, "_updates", updates)
    state = teachers.train(
        jax.random.key(0),
        algorithm,
        made,
        steps=1000,
        block=10,
        budget_seconds=4,
        callback=callback,
    )
    assert int(state.step) == 40
    assert [record["progress"] for record in records] == [0.25, 0.5, 0.75, 1.0]
    assert [record["eta_seconds"] for record in records] == [3, 2, 1, 0]
    scales = np.concatenate(given)
    assert scales[0] == 1
    assert (np.diff(scales) <= 0).all()
    # From the second block on, the time that the block will take is known.
    np.testing.assert_allclose(scales, np.minimum(1, 2 - np.arange(40) / 20), atol=1e-6)


def test_steps_that_end_before_the_budget_are_annealed_too(monkeypatch):
    algorithm, given = tiny(), []
    made = teachers.prepare(algorithm, recorded())

    def updates(algorithm, block, key, state, transitions, scales):
        given.append(scales)
        return state._replace(step=state.step + block), {"value": np.zeros(())}

    monkeypatch.setattr(train_loop, "_updates", updates)
    state = teachers.train(
        jax.random.key(0), algorithm, made, steps=30, block=10, budget_seconds=1e6
    )
    assert int(state.step) == 30
    np.testing.assert_allclose(
        np.concatenate(given), np.minimum(1, 2 - np.arange(30) / 15), atol=1e-4
    )


def test_with_a_budget_it_resumes_bit_by_bit_where_it_stopped(monkeypatch):
    algorithm, key = tiny(), jax.random.key(3)
    made = teachers.prepare(algorithm, recorded())
    Watch(monkeypatch)  # It stands still: the progress is that of the steps.
    options = {"steps": 40, "block": 10, "budget_seconds": 1e6}
    states = []
    whole = teachers.train(
        key, algorithm, made, **options, callback=lambda state, _: states.append(state)
    )
    same(whole, teachers.train(key, algorithm, made, **options, state=states[1]))


def test_time_that_a_state_has_taken_counts():
    algorithm, key = tiny(), jax.random.key(0)
    made = teachers.prepare(algorithm, recorded())
    options = {"steps": 20, "block": 10, "budget_seconds": 100}
    start = teachers.initial_state(key, algorithm, average=True)
    found = teachers.train(key, algorithm, made, **options, state=start, seconds=100.0)
    assert found is start
    assert int(teachers.train(key, algorithm, made, **options, state=start).step) == 20


def test_the_average_is_over_the_last_tenth_of_the_updates():
    algorithm = tiny()
    made = teachers.prepare(algorithm, recorded())
    actors = []
    state = teachers.train(
        jax.random.key(0),
        algorithm,
        made,
        steps=40,
        block=1,
        budget_seconds=1e6,
        callback=lambda state, _: actors.append(state.actor),
    )
    weights = np.zeros(40)
    for number in range(40):
        share = 10 / (number + 10)
        weights *= 1 - share
        weights[number] = share
    assert weights.sum() == pytest.approx(1)
    expected = jax.tree.map(lambda *leaves: np.tensordot(weights, np.stack(leaves), 1), *actors)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), state.policy, expected)


def test_without_a_budget_there_is_no_average():
    algorithm = tiny()
    made = teachers.prepare(algorithm, recorded())
    state = teachers.train(jax.random.key(0), algorithm, made, steps=10, block=10)
    assert state.policy is state.actor
    assert state.others == ()  # As in checkpoints from before there were averages.


@pytest.mark.parametrize("budget", [0, -1.0, float("nan")])
def test_budgets_that_are_not_positive_are_refused(budget):
    algorithm = tiny()
    made = teachers.prepare(algorithm, recorded())
    with pytest.raises(InvalidInputError, match="budget_seconds must be positive"):
        teachers.train(
            jax.random.key(0), algorithm, made, steps=10, block=10, budget_seconds=budget
        )


@pytest.mark.parametrize("name", teachers.ALGORITHMS)
def test_a_step_scale_of_zero_stands_still(name):
    algorithm = teachers.ALGORITHMS[name](3, 2, hidden_sizes=(8,), batch_size=16)
    made = teachers.prepare(algorithm, recorded())
    state = algorithm.init(jax.random.key(0))
    batch = jax.tree.map(lambda column: column[:16], made.transitions)
    update = jax.jit(algorithm.update)
    still, _ = update(state, batch, 0.0)
    moved, _ = update(state, batch, 1.0)
    for place in ("actor", "critics", "others"):
        jax.tree.map(np.testing.assert_array_equal, getattr(still, place), getattr(state, place))
    for place in ("actor", "critics"):
        leaves = zip(
            jax.tree.leaves(getattr(moved, place)),
            jax.tree.leaves(getattr(state, place)),
            strict=True,
        )
        assert any((one != other).any() for one, other in leaves)


def test_diverging_critics_stop_the_training_with_the_last_good_state():
    algorithm = tiny(learning_rate=100.0)
    made = teachers.prepare(algorithm, recorded())
    states = []
    with pytest.raises(
        teachers.DivergedError, match=r"before step \d+: .* rewards allow"
    ) as caught:
        teachers.train(
            jax.random.key(0),
            algorithm,
            made,
            steps=2000,
            block=1,
            callback=lambda state, _: states.append(state),
        )
    assert caught.value.state is states[-1]
    assert "lower the learning rate" in str(caught.value)


def test_a_constant_reward_tells_something_where_episodes_end():
    teachers.prepare(tiny(), recorded(rewards=np.ones(60)))


def test_penalties_count_in_what_values_may_be():
    offline = recorded()
    bounds = [teachers.prepare(tiny(critic_penalty=c), offline).value_bound for c in (0.0, 0.5)]
    # 0.99 of the penalty on two actions that are 2 apart each, for a hundred steps.
    assert bounds[1] - bounds[0] == pytest.approx(100 * 0.99 * 0.5 * 8, rel=1e-5)


def test_fewer_steps_than_are_done_are_refused():
    algorithm = tiny()
    made = teachers.prepare(algorithm, recorded())
    state = teachers.train(jax.random.key(0), algorithm, made, steps=20, block=10)
    with pytest.raises(InvalidInputError, match="20 updates are done already, 10 were"):
        teachers.train(jax.random.key(0), algorithm, made, steps=10, block=10, state=state)


@pytest.mark.parametrize("steps", [0, -10, 15])
def test_steps_that_are_no_blocks_are_refused(steps):
    algorithm = tiny()
    made = teachers.prepare(algorithm, recorded())
    with pytest.raises(InvalidInputError, match="positive multiple of 10"):
        teachers.train(jax.random.key(0), algorithm, made, steps=steps, block=10)
