"""The offline RL algorithms: losses by hand, gradients, and tasks whose optimum is known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from obd_jax import data, teachers
from obd_jax.reporting import SILENT
from obd_jax.teachers import ALGORITHMS, Batch, make_algorithm
from obd_jax.teachers.algorithm import act, value
from obd_jax.types import InvalidInputError

D, A, B = 3, 2, 5
SIZES = (16, 16)


def tiny(name, **options):
    return ALGORITHMS[name](D, A, hidden_sizes=SIZES, **options)


def batch_of(seed=0, rows=B):
    rng = np.random.default_rng(seed)
    return Batch(
        observations=rng.normal(size=(rows, D)).astype(np.float32),
        actions=rng.uniform(-1, 1, (rows, A)).astype(np.float32),
        rewards=rng.normal(size=rows).astype(np.float32),
        next_observations=rng.normal(size=(rows, D)).astype(np.float32),
        next_actions=rng.uniform(-1, 1, (rows, A)).astype(np.float32),
        terminals=(np.arange(rows) % 3 == 0).astype(np.float32),
        returns=rng.normal(size=rows).astype(np.float32),
    )


# An independent network in NumPy, float64.


def network(params, inputs):
    layers = {k: {n: np.asarray(v, np.float64) for n, v in p.items()} for k, p in params.items()}
    hidden = np.asarray(inputs, np.float64)
    count = sum(name.startswith("Dense") for name in layers)
    for i in range(count):
        hidden = hidden @ layers[f"Dense_{i}"]["kernel"] + layers[f"Dense_{i}"]["bias"]
        if i < count - 1:
            hidden = np.maximum(hidden, 0)
            if f"LayerNorm_{i}" in layers:
                norm = layers[f"LayerNorm_{i}"]
                centred = hidden - hidden.mean(-1, keepdims=True)
                hidden = centred / np.sqrt(hidden.var(-1, keepdims=True) + 1e-6)
                hidden = hidden * norm["scale"] + norm["bias"]
    return hidden


def q(params, observations, actions):
    return network(params["params"], np.concatenate([observations, actions], -1))[..., 0]


def pi(params, observations):
    return np.tanh(network(params["params"], observations)[..., :A])


def td3_losses(state, batch, noise, cloning_weight, value_weight, penalty):
    """Loss of the critics, of the actor given critics: (float, function)."""
    target_actor, target_critics = state.targets
    following = pi(target_actor, batch.next_observations) + np.clip(0.2 * noise, -0.5, 0.5)
    following = np.clip(following, -1, 1)
    next_value = np.minimum(*(q(c, batch.next_observations, following) for c in target_critics))
    next_value = next_value - penalty * ((following - batch.next_actions) ** 2).sum(-1)
    target = batch.rewards + 0.99 * (1 - batch.terminals) * next_value

    def critic_loss(critics, _):
        errors = [q(c, batch.observations, batch.actions) - target for c in critics]
        return sum((error**2).mean() for error in errors)

    def actor_loss(actor, _, critics):
        actions = pi(actor, batch.observations)
        own = q(critics[0], batch.observations, actions)
        # The scale is a constant of the step.
        scale = np.abs(q(critics[0], batch.observations, pi(state.actor, batch.observations)))
        cloning = ((actions - batch.actions) ** 2).sum(-1)
        return (cloning_weight * cloning - value_weight * own / scale.mean()).mean()

    return critic_loss, actor_loss


def iql_losses(state, batch):
    value_params, _ = state.others
    low = np.minimum(*(q(c, batch.observations, batch.actions) for c in state.targets))
    next_value = network(value_params["params"], batch.next_observations)[..., 0]
    target = batch.rewards + 0.99 * (1 - batch.terminals) * next_value
    advantage = low - network(value_params["params"], batch.observations)[..., 0]

    def critic_loss(critics, others):
        own = low - network(others[0]["params"], batch.observations)[..., 0]
        value_loss = (np.where(own < 0, 0.3, 0.7) * own**2).mean()
        errors = [q(c, batch.observations, batch.actions) - target for c in critics]
        return value_loss + sum((error**2).mean() for error in errors)

    def actor_loss(actor, others, _):
        std = np.exp(np.asarray(others[1], np.float64))
        error = (batch.actions - pi(actor, batch.observations)) / std
        log_prob = (-0.5 * error**2 - np.log(std) - 0.5 * np.log(2 * np.pi)).sum(-1)
        return -(np.minimum(np.exp(3 * advantage), 100) * log_prob).mean()

    return critic_loss, actor_loss


def cal_ql_losses(state, batch, count=10, weight=10.0):
    _, critic_key, actor_key = jax.random.split(state.key, 3)
    target_key, uniform_key, own_key, next_key = jax.random.split(critic_key, 4)

    def draw(actor, others, key, observations, count):
        mean, log_std = np.split(network(actor["params"], observations), 2, axis=-1)
        scale = np.exp(np.asarray(others[1]) * log_std + np.asarray(others[2]))
        latent = mean + scale * np.asarray(jax.random.normal(key, (count, B, A)), np.float64)
        density = scipy.stats.norm.logpdf(latent, mean, scale) - np.log(1 - np.tanh(latent) ** 2)
        return np.tanh(latent), density.sum(-1)

    now = (state.actor, state.others)
    (following,), _ = draw(*now, target_key, batch.next_observations, 1)
    next_value = np.minimum(*(q(c, batch.next_observations, following) for c in state.targets))
    target = batch.rewards + 0.99 * (1 - batch.terminals) * next_value
    observations = np.broadcast_to(batch.observations, (count, B, D))
    uniform = np.asarray(jax.random.uniform(uniform_key, (count, B, A), minval=-1.0), np.float64)
    own, own_density = draw(*now, own_key, batch.observations, count)
    after, after_density = draw(*now, next_key, batch.next_observations, count)

    def critic_loss(critics, _):
        total = 0.0
        for critic in critics:
            predicted = q(critic, batch.observations, batch.actions)
            candidates = [
                q(critic, observations, uniform) + A * np.log(2.0),
                np.maximum(q(critic, observations, after), batch.returns) - after_density,
                np.maximum(q(critic, observations, own), batch.returns) - own_density,
            ]
            gap = scipy.special.logsumexp(np.concatenate(candidates), axis=0) - predicted
            total += ((predicted - target) ** 2).mean() + weight * gap.mean()
        return total

    _, (density_now,) = draw(*now, actor_key, batch.observations, 1)

    def actor_loss(actor, others, _):
        (action,), (density,) = draw(actor, others, actor_key, batch.observations, 1)
        own = np.minimum(*(q(c, batch.observations, action) for c in state.critics))
        temperature = np.exp(np.float64(state.others[0]))
        soft = (temperature * density - own).mean()
        return soft - float(others[0]) * (density_now - A).mean()

    return critic_loss, actor_loss


def losses(name, state, batch):
    if name == "iql":
        return iql_losses(state, batch)
    if name == "cal_ql":
        return cal_ql_losses(state, batch)
    noise = np.asarray(jax.random.normal(jax.random.split(state.key)[1], (B, A)), np.float64)
    weights = {"rebrac": (0.01, 1.0, 0.01), "td3_bc": (1 / A, 2.5, 0.0)}[name]
    return td3_losses(state, batch, noise, *weights)


@functools.cache
def started(name):
    """A state in which no network equals its moving average, and every bias counts.

    With the algorithm and its update, compiled once for all tests.
    """
    algorithm = tiny(name)
    state = algorithm.init(jax.random.key(0))

    def moved(tree, seed):
        leaves, structure = jax.tree.flatten(tree)
        keys = jax.random.split(jax.random.key(seed), len(leaves))
        return jax.tree.unflatten(
            structure,
            [x + 0.1 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)],
        )

    state = state._replace(
        others=moved(state.others, 4),
        actor=moved(state.actor, 1),
        critics=moved(state.critics, 2),
        targets=moved(state.targets, 3),
    )
    return algorithm, state, jax.jit(algorithm.update)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_critics_loss_is_what_numpy_computes(name):
    _, state, update = started(name)
    _, metrics = update(state, batch_of())
    critic_loss, _ = losses(name, state, batch_of())
    np.testing.assert_allclose(
        metrics["critic_loss"], critic_loss(state.critics, state.others), rtol=1e-5
    )
    predicted = [q(c, batch_of().observations, batch_of().actions) for c in state.critics]
    np.testing.assert_allclose(metrics["value"], np.mean(predicted), rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "which"),
    [
        *((name, which) for name in ALGORITHMS for which in ("actor", "critics")),
        ("iql", "others"),
        ("cal_ql", "others"),
    ],
)
def test_the_first_step_of_adam_goes_against_finite_differences(name, which):
    # Adam's first step is the sign of the gradient times the learning rate.
    _, state, update = started(name)
    batch = batch_of()
    following, _ = update(state, batch)
    critic_loss, actor_loss = losses(name, state, batch)
    before, after = getattr(state, which), getattr(following, which)

    def loss(params):
        if which == "actor":
            return actor_loss(params, state.others, following.critics)
        if which == "critics":
            return critic_loss(params, state.others)
        return critic_loss(state.critics, params) + actor_loss(state.actor, params, state.critics)

    leaves, structure = jax.tree.flatten(before)
    moved = jax.tree.leaves(after)
    rate = max(float(np.abs(a - b).max()) for a, b in zip(leaves, moved, strict=True))
    rng, checked = np.random.default_rng(0), 0
    for place, leaf in enumerate(leaves):
        for _ in range(4):
            at = tuple(rng.integers(size) for size in leaf.shape)
            ends = []
            for step in (1e-5, -1e-5):
                bumped = [np.array(x, np.float64) for x in leaves]
                bumped[place][at] += step
                ends.append(loss(jax.tree.unflatten(structure, bumped)))
            slope = (ends[0] - ends[1]) / 2e-5
            if abs(slope) < 1e-4:
                continue
            change = float(moved[place][at] - leaf[at])
            assert change == pytest.approx(-np.sign(slope) * rate, rel=0.02), (place, at)
            checked += 1
    assert checked > (8 if name == "cal_ql" and which == "others" else 20)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_targets_follow_the_critics_slowly(name):
    _, state, update = started(name)
    following, _ = update(state, batch_of())

    def targets_of(state):
        return state.targets[1] if name in ("rebrac", "td3_bc") else state.targets

    for old, new, critic in zip(
        *map(jax.tree.leaves, (targets_of(state), targets_of(following), following.critics)),
        strict=True,
    ):
        np.testing.assert_allclose(new, 0.995 * old + 0.005 * critic, atol=1e-6)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_an_update_is_finite_counts_and_is_not_traced_twice(name):
    _, state, update = started(name)
    state, _ = update(state, batch_of())
    compiled = update._cache_size()
    for seed in range(3):
        state, metrics = update(state, batch_of(seed))
        assert all(np.isfinite(metric) for metric in metrics.values())
    assert int(state.step) == 4
    assert update._cache_size() == compiled


def test_the_actor_waits_every_other_update():
    _, state, update = started("rebrac")
    first, _ = update(state, batch_of())
    second, _ = update(first, batch_of(1))
    moved = [
        not np.array_equal(*(jax.tree.leaves(s.actor)[0] for s in pair))
        for pair in ((state, first), (first, second))
    ]
    assert moved == [True, False]
    np.testing.assert_array_equal(
        jax.tree.leaves(first.targets)[0], jax.tree.leaves(second.targets)[0]
    )


def test_cal_ql_lowers_values_of_actions_that_the_data_lacks():
    # All rewards and returns are 0, so the truth is 0 everywhere.
    rng = np.random.default_rng(0)
    rows = 512
    observations = rng.normal(size=(rows, D)).astype(np.float32)
    zeros = np.zeros(rows, np.float32)
    actions = np.full((rows, A), 0.5, np.float32)
    batch = Batch(observations, actions, zeros, observations, actions, zeros + 1, zeros)
    algorithm = tiny("cal_ql", conservative_weight=1.0, critic_learning_rate=3e-3)
    state = algorithm.init(jax.random.key(0))
    update = jax.jit(lambda s: jax.lax.scan(lambda s, _: algorithm.update(s, batch), s, length=300))
    state, _ = update(state)
    other = np.full((rows, A), -0.5, np.float32)
    inside = value(algorithm.critic, state.critics[0], observations, actions)
    outside = value(algorithm.critic, state.critics[0], observations, other)
    assert float(jnp.mean(inside - outside)) > 0.3


# Tasks with a known optimum.

ROWS = 4000


def bandit(seed=0):
    """One step; the reward is 1 - |a - 0.6 tanh(s)|^2 summed, actions are uniform."""
    rng = np.random.default_rng(seed)
    states = rng.normal(size=(ROWS, 2))
    actions = rng.uniform(-1, 1, (ROWS, 2))
    rewards = 1 - np.square(actions - 0.6 * np.tanh(states)).sum(-1)
    return data.from_arrays(
        states,
        actions,
        rewards,
        next_observations=states,
        terminals=np.ones(ROWS),
        note=SILENT.note,
    )


def chain():
    """From state 0 to state 1 for nothing, from there to the end for 1 on average."""
    states = np.tile([[1.0, 0.0], [0.0, 1.0]], (ROWS // 2, 1))
    actions = np.random.default_rng(0).uniform(-1, 1, (ROWS, 1))
    rewards = np.tile([0.0, 0.5, 0.0, 1.5], ROWS // 4)
    return data.from_arrays(
        states,
        actions,
        rewards,
        next_observations=np.roll(states, -1, axis=0),
        terminals=np.tile([0, 1], ROWS // 2),
        note=SILENT.note,
    )


def regulator(noise=0.3, horizon=20, seed=0):
    """x' = 0.9 x + 0.5 a, reward -x^2 - 0.5 a^2; noisy optimal actions from |x| < 1."""
    discount, a, b, cost = 0.99, 0.9, 0.5, 0.5
    p = 1.0
    for _ in range(1000):  # Riccati, by iteration.
        gain = discount * a * b * p / (cost + discount * b**2 * p)
        p = 1 + cost * gain**2 + discount * p * (a - b * gain) ** 2
    rng = np.random.default_rng(seed)
    episodes = ROWS // horizon
    x = rng.uniform(-1, 1, episodes)
    columns = []
    for step in range(horizon):
        action = np.clip(-gain * x + noise * rng.normal(size=episodes), -1, 1)
        following = a * x + b * action
        # The optimal rest of the episode stands in for what comes after the horizon.
        rest = discount * -p * following**2 if step == horizon - 1 else 0.0
        columns.append((x, action, -(x**2) - cost * action**2 + rest, following))
        x = following
    rows = [np.stack(column, axis=1).ravel() for column in zip(*columns, strict=True)]
    terminals = np.arange(ROWS) % horizon == horizon - 1
    recorded = data.from_arrays(
        rows[0][:, None],
        rows[1][:, None],
        rows[2],
        next_observations=rows[3][:, None],
        terminals=terminals,
        note=SILENT.note,  # All episodes have one length.
    )
    return recorded, gain, p


OPTIONS = {
    "rebrac": {"learning_rate": 1e-3, "batch_size": 128},
    "td3_bc": {"learning_rate": 1e-3, "batch_size": 128},
    "iql": {"learning_rate": 1e-3, "batch_size": 128, "steps": 3000, "inverse_temperature": 10.0},
    "cal_ql": {
        "actor_learning_rate": 1e-3,
        "critic_learning_rate": 1e-3,
        "batch_size": 128,
        "sampled_actions": 4,
        "conservative_weight": 0.1,
    },
}


def trained(name, recorded, steps=3000, **options):
    algorithm = ALGORITHMS[name](
        recorded.observation_size,
        recorded.action_size,
        hidden_sizes=(32, 32),
        **{**OPTIONS[name], **options},
    )
    trainable = teachers.prepare(algorithm, recorded)
    state = teachers.train(jax.random.key(0), algorithm, trainable, steps=steps)

    def policy(states):
        inputs = trainable.normalizer.normalize(jnp.asarray(states, jnp.float32))
        return np.asarray(act(algorithm.actor, state.actor, inputs, recorded.action_size))

    def critic(states, actions):
        inputs = trainable.normalizer.normalize(jnp.asarray(states, jnp.float32))
        found = value(algorithm.critic, state.critics[0], inputs, jnp.asarray(actions, jnp.float32))
        return np.asarray(found) / trainable.reward_scale

    return policy, critic


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_best_action_and_values_of_a_bandit_are_found(name):
    # Uniform data pull towards the action 0: the pull is made small here.
    options = {"td3_bc": {"alpha": 50.0}, "rebrac": {"actor_penalty": 0.005}}.get(name, {})
    policy, critic = trained(name, bandit(), **options)
    states = np.random.default_rng(1).normal(size=(300, 2))
    best = 0.6 * np.tanh(states)
    assert np.abs(policy(states) - best).mean() < 0.12
    actions = np.random.default_rng(2).uniform(-1, 1, (300, 2))
    truth = 1 - np.square(actions - best).sum(-1)
    found = critic(states, actions)
    assert np.corrcoef(found, truth)[0, 1] > 0.95
    # Cal-QL is below the truth on purpose.
    assert np.abs(found - truth).mean() < (0.5 if name == "cal_ql" else 0.15)


@pytest.mark.slow
@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_values_of_a_chain_are_found(name):
    _, critic = trained(name, chain(), steps=2000)
    actions = np.linspace(-0.9, 0.9, 10)[:, None]
    first = critic(np.tile([1.0, 0.0], (10, 1)), actions)
    second = critic(np.tile([0.0, 1.0], (10, 1)), actions)
    np.testing.assert_allclose(second.mean(), 1.0, atol=0.05)
    np.testing.assert_allclose(first.mean(), 0.99, atol=0.07)


@pytest.mark.slow
@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_policy_and_values_of_a_linear_regulator_are_found(name):
    recorded, gain, p = regulator()
    options = {"rebrac": {"actor_penalty": 0.5}}.get(name, {})
    policy, critic = trained(name, recorded, **options)
    states = np.linspace(-0.8, 0.8, 33)[:, None]
    best = -gain * states
    assert np.abs(policy(states) - best).mean() < 0.12
    found = critic(states, best)
    truth = -p * states[:, 0] ** 2
    # Noise of a policy costs the same everywhere, so values are right up to a constant.
    assert np.abs((found - found.mean()) - (truth - truth.mean())).mean() < 0.1
    assert np.corrcoef(found, truth)[0, 1] > 0.95


def test_unknown_names_and_options_are_refused_with_those_known():
    with pytest.raises(InvalidInputError, match="'sac'; known: rebrac, td3_bc, iql, cal_ql"):
        make_algorithm("sac", D, A, {})
    with pytest.raises(InvalidInputError, match="iql has no option 'alpha'; known: expectile"):
        make_algorithm("iql", D, A, {"alpha": "2"})
    with pytest.raises(InvalidInputError, match=r"rebrac: batch_size takes int, got '1.5'"):
        make_algorithm("rebrac", D, A, {"batch_size": "1.5"})
    for name, option, text in (
        ("rebrac", "actor_penalty", "-1"),
        ("rebrac", "batch_size", "0"),
        ("iql", "steps", "0"),
        ("iql", "discount", "1"),
        ("iql", "expectile", "nan"),
        ("cal_ql", "sampled_actions", "0"),
    ):
        with pytest.raises(InvalidInputError, match=f"{option} must lie between .*, got {text}"):
            make_algorithm(name, D, A, {option: text})
    made = make_algorithm("rebrac", D, A, {"batch_size": "64"})
    assert (made.batch_size, made.actor.output_size) == (64, A)
