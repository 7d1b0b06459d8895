"""What the offline RL algorithms have in common."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from obd_jax.networks import MLP
from obd_jax.types import Array, Key, Params


class Batch(NamedTuple):
    """Transitions of the offline data, in any order.

    observations:      [B, D] normalised.
    actions:           [B, A] in [-1, 1].
    rewards:           [B].
    next_observations: [B, D] normalised.
    next_actions:      [B, A] what the recording does next, as of `OfflineData`.
    terminals:         [B] 1 where the environment ended (not where time ran out), else 0.
    returns:           [B] discounted rewards of the data from here to the episode's end.
    """

    observations: Any
    actions: Any
    rewards: Any
    next_observations: Any
    next_actions: Any
    terminals: Any
    returns: Any


class Averaged(NamedTuple):
    """Further state of a training that averages its actor.

    A part of `others`, so that checkpoints of trainings that do not are what they were.

    own:     the algorithm's own further state.
    average: of the actor's parameters over the last updates.
    """

    own: Any
    average: Params


class TrainState(NamedTuple):
    """State of a training.

    actor:     parameters of pi*.
    critics:   of two critics; q* is the first one, or their minimum where so stated.
    targets:   moving averages that targets are computed with.
    others:    further state of an algorithm, in an `Averaged` where its actor is averaged.
    optimizer: states of the optimisers.
    key:       for noise and sampled actions.
    step:      [] int32, updates so far.
    """

    actor: Params
    critics: tuple[Params, Params]
    targets: Any
    others: Any
    optimizer: Any
    key: Key
    step: Array

    @property
    def policy(self) -> Params:
        """Parameters of pi* to act with: the average where it is kept."""
        return self.others.average if isinstance(self.others, Averaged) else self.actor


class Algorithm(NamedTuple):
    """An offline RL algorithm as pure functions.

    init:              key -> state.
    update:            (state, batch, step_scale=1.0) -> (state, metrics), among them "value", the
                       critics' mean; step_scale multiplies all learning rates.
    actor:             network of pi*: tanh of its first A outputs is the action.
    critic:            network of q* on observations and actions side by side.
    discount:          of rewards.
    batch_size:        B.
    normalize_rewards: whether rewards are divided by the range of the data's returns over 1000.
    largest_penalty:   largest penalty that is subtracted from a value in a target.
    """

    init: Callable[[Key], TrainState]
    update: Callable[..., tuple[TrainState, dict[str, Array]]]
    actor: MLP
    critic: MLP
    discount: float
    batch_size: int
    normalize_rewards: bool = False
    largest_penalty: float = 0.0


def scaled(updates: Any, step_scale: Array | float) -> Any:
    """Updates of an optimiser with its learning rate multiplied."""
    return jax.tree.map(lambda leaf: step_scale * leaf, updates)


def act(actor: MLP, params: Params, observations: Array, action_size: int) -> Array:
    """Deterministic actions [..., A] on normalised observations [..., D]."""
    return jnp.tanh(jnp.asarray(actor.apply(params, observations))[..., :action_size])


def value(critic: MLP, params: Params, observations: Array, actions: Array) -> Array:
    """Values [...] of actions [..., A] on normalised observations [..., D]."""
    inputs = jnp.concatenate([observations, actions], axis=-1)
    return jnp.asarray(critic.apply(params, inputs))[..., 0]


def values(critic: MLP, params: tuple[Params, ...], observations: Array, actions: Array) -> Array:
    """Values [critics, ...] by several critics."""
    return jnp.stack([value(critic, each, observations, actions) for each in params])
