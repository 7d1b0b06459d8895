"""Fitted Q evaluation: the return of a policy, estimated from recorded transitions."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from obd_jax.evaluation.protocol import FQE_BLOCK
from obd_jax.networks import MLP, init_parameters
from obd_jax.types import Array, InvalidInputError, Key, Params

# Called after every block with the steps done and the block's mean loss.
Callback = Callable[[int, float], None]


class Transitions(NamedTuple):
    """What is recorded, in any order.

    observations:      [M, D] normalised.
    actions:           [M, A] in [-1, 1].
    rewards:           [M].
    next_observations: [M, D] normalised.
    terminals:         [M] 1 where the environment ended (not where time ran out), else 0.
    returns:           [M] discounted rewards from here to the episode's end; they set the scale.
    """

    observations: Any
    actions: Any
    rewards: Any
    next_observations: Any
    terminals: Any
    returns: Any


class FittedQ(NamedTuple):
    """Critics of a policy.

    params:  of all members, leaves [E, ...].
    network: of each.
    offset:  the value of an output of 0.
    scale:   what an output of 1 adds to it.
    """

    params: Params
    network: MLP
    offset: float
    scale: float

    def values(self, observations: Any, actions: Any) -> Array:
        """Values [E, B] of normalised observations [B, D] and actions [E, B, A] or [B, A]."""
        axis = 0 if jnp.ndim(actions) == 3 else None
        outputs = jax.vmap(functools.partial(_output, self.network), in_axes=(0, None, axis))
        return self.offset + self.scale * outputs(self.params, observations, actions)


def fitted_q(
    key: Key,
    transitions: Transitions,
    next_actions: Any,
    *,
    members: int = 4,
    steps: int = 10_000,
    discount: float = 0.99,
    hidden_sizes: tuple[int, ...] = (128, 128),
    batch_size: int = 256,
    learning_rate: float = 3e-3,
    target_rate: float = 0.02,
    block: int = FQE_BLOCK,
    callback: Callback | None = None,
) -> FittedQ:
    """Critics with q(s, a) = r + discount q(s', pi(s')), from different initialisations.

    The policy is given by its actions at the next observations, so it may come from any framework
    (Le, Voloshin, Yue 2019, arXiv 1903.08738; here with moving averages in place of rounds).
    Targets are clipped to the range that the rewards allow.

    Args:
        key: of initialisations and batches.
        transitions: M of them.
        next_actions: [K, M, A] of K policies; member e evaluates policy e modulo K.
        members: E critics; their disagreement is a measure of their error.
        steps: of Adam, a multiple of `block`; its rate falls to 0 by a cosine.
        discount: of rewards.
        hidden_sizes: of the critics.
        batch_size: transitions of a step, drawn separately for each member.
        learning_rate: at the start.
        target_rate: share of the critics in each step of their moving averages.
        block: steps in one compiled call.
        callback: for progress.

    Returns:
        The moving averages.

    Raises:
        InvalidInputError: steps are not a positive multiple of `block`, or next actions do not fit
            the transitions.
        FloatingPointError: a loss is not finite.
    """
    if steps < 1 or steps % block:
        raise InvalidInputError(f"steps must be a positive multiple of {block}, got {steps}")
    shape = np.shape(transitions.actions)
    if np.shape(next_actions)[1:] != shape:
        raise InvalidInputError(
            f"next actions have shape {np.shape(next_actions)}; [policies, {shape[0]}, {shape[1]}] "
            "is needed"
        )
    rewards, returns = (
        np.asarray(x, np.float64) for x in (transitions.rewards, transitions.returns)
    )
    scale = float(max(returns.std(), np.abs(rewards).max(), np.finfo(np.float32).tiny))
    offset, horizon = float(returns.mean()), 1 / (1 - discount)
    low, high = rewards.min(), rewards.max()
    limits = min(low, low * horizon), max(high, high * horizon)
    network = MLP(hidden_sizes, 1, layer_norm=True)
    optimizer, advance = _compiled(network, learning_rate, steps, batch_size, target_rate, block)
    own, batches = jax.random.split(key)
    inputs = jnp.zeros(shape[1] + np.shape(transitions.observations)[1])
    params = jax.vmap(lambda k: init_parameters(network, k, inputs))(jax.random.split(own, members))
    state = (params, params, jax.vmap(optimizer.init)(params), jnp.zeros((), jnp.int32))
    arrays = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), (transitions, next_actions))
    units = jax.tree.map(jnp.float32, Units(discount, offset, scale, *limits))
    for done in range(block, steps + 1, block):
        state, loss = advance(batches, units, *arrays, state)
        if not np.isfinite(loss):
            raise FloatingPointError(f"fitted Q evaluation diverged before step {done}")
        if callback is not None:
            callback(done, float(loss))
    return FittedQ(state[1], network, offset, scale)


class Units(NamedTuple):
    """Of values.

    discount: of rewards.
    offset:   the value of an output of 0.
    scale:    what an output of 1 adds to it.
    low:      the lowest value that rewards allow.
    high:     the highest.
    """

    discount: Any
    offset: Any
    scale: Any
    low: Any
    high: Any


@functools.lru_cache(maxsize=4)
def _compiled(
    network: MLP,
    learning_rate: float,
    steps: int,
    batch_size: int,
    target_rate: float,
    block: int,
) -> tuple[optax.GradientTransformation, Callable[..., tuple[Any, Array]]]:
    """The optimiser and a compiled block of steps, the same ones for all policies."""
    optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))
    update = functools.partial(_update, network, optimizer, batch_size, target_rate)

    @jax.jit
    def advance(key, units, transitions, next_actions, state):
        def step(state, _):
            return update(key, units, transitions, next_actions, state)

        state, losses = jax.lax.scan(step, state, length=block)
        return state, losses.mean()

    return optimizer, advance


def _output(network: MLP, params: Params, observations: Array, actions: Array) -> Array:
    """Outputs [...] of one critic."""
    inputs = jnp.concatenate([observations, actions], axis=-1)
    return jnp.asarray(network.apply(params, inputs))[..., 0]


def _update(
    network: MLP,
    optimizer: optax.GradientTransformation,
    batch_size: int,
    target_rate: float,
    key: Key,
    units: Units,
    transitions: Transitions,
    next_actions: Array,
    state: Any,
) -> tuple[Any, Array]:
    """One step of every member: the state after it, and the mean loss."""
    params, averages, optimizer_state, step = state
    members, policies = len(jax.tree.leaves(params)[0]), len(next_actions)
    count = len(transitions.rewards)
    rows = jax.random.randint(jax.random.fold_in(key, step), (members, batch_size), 0, count)
    which = jnp.arange(members) % policies

    def member(params, averages, optimizer_state, rows, policy):
        batch = jax.tree.map(lambda column: column[rows], transitions)
        following = _output(network, averages, batch.next_observations, next_actions[policy, rows])
        later = (1 - batch.terminals) * (units.offset + units.scale * following)
        target = jnp.clip(batch.rewards + units.discount * later, units.low, units.high)
        wanted = (target - units.offset) / units.scale

        def loss(params):
            predicted = _output(network, params, batch.observations, batch.actions)
            return jnp.mean(jnp.square(predicted - wanted))

        value, gradient = jax.value_and_grad(loss)(params)
        updates, optimizer_state = optimizer.update(gradient, optimizer_state, params)
        params = optax.apply_updates(params, updates)
        averages = optax.incremental_update(params, averages, target_rate)
        return (params, averages, optimizer_state), value

    found, losses = jax.vmap(member)(params, averages, optimizer_state, rows, which)
    return (*found, step + 1), losses.mean()
