"""Soft actor-critic, the recipe by which D4RL's behaviour policies were trained."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from obd_jax.networks import LOG_STD_MAX, LOG_STD_MIN, MLP, sample_squashed
from obd_jax.types import Array, Key, Params


class Transitions(NamedTuple):
    """Steps of an environment, in any order.

    observations:      [..., D] raw units.
    actions:           [..., A] in [-1, 1].
    rewards:           [...].
    next_observations: [..., D].
    terminals:         [...] 1 where the environment ended (not where time ran out), else 0.
    """

    observations: Any
    actions: Any
    rewards: Any
    next_observations: Any
    terminals: Any


class SACState(NamedTuple):
    """What training carries on.

    actor:           observations -> means and log deviations before tanh, [2 A].
    critics:         two, of (observations, actions).
    targets:         moving averages of the critics.
    log_temperature: [] logarithm of the entropy's weight.
    optimizer:       of actor, critics and log_temperature.
    key:             for sampled actions.
    """

    actor: Params
    critics: tuple[Params, Params]
    targets: tuple[Params, Params]
    log_temperature: Array
    optimizer: Any
    key: Key


class SAC(NamedTuple):
    """Soft actor-critic as pure functions.

    init:   key -> state.
    update: (state, transitions [B]) -> (state, metrics); one step of each network.
    """

    init: Callable[[Key], SACState]
    update: Callable[[SACState, Transitions], tuple[SACState, dict[str, Array]]]


def gaussian(outputs: Array) -> tuple[Array, Array]:
    """Outputs of an actor [..., 2 A] -> mean and log deviation [..., A], both before tanh."""
    mean, log_std = jnp.split(outputs, 2, axis=-1)
    return mean, jnp.clip(log_std, LOG_STD_MIN, LOG_STD_MAX)


def sac(
    observation_size: int,
    action_size: int,
    *,
    hidden_sizes: tuple[int, ...] = (256, 256),
    learning_rate: float = 3e-4,
    discount: float = 0.99,
    target_rate: float = 0.005,
) -> SAC:
    """Soft actor-critic with two critics and a learned temperature (Haarnoja et al. 2018).

    The temperature is learned so that the policy's entropy approaches -A nats. Defaults are
    those of rlkit, which D4RL used.

    Args:
        observation_size: D.
        action_size: A.
        hidden_sizes: of actor and critics.
        learning_rate: of Adam, for all networks and the temperature.
        discount: of rewards.
        target_rate: share of the critics in each step of their moving averages.

    Returns:
        The algorithm.
    """
    make = functools.partial(
        MLP, hidden_sizes, kernel_init=nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
    )
    actor_network, critic_network = make(2 * action_size), make(1)
    optimizer = optax.adam(learning_rate)

    def values(critics: Any, observations: Array, actions: Array) -> Array:
        inputs = jnp.concatenate([observations, actions], axis=-1)
        both = [jnp.asarray(critic_network.apply(params, inputs)) for params in critics]
        return jnp.stack(both)[..., 0]

    def act(actor: Params, key: Key, observations: Array) -> tuple[Array, Array]:
        outputs = jnp.asarray(actor_network.apply(actor, observations))
        return sample_squashed(key, *gaussian(outputs))

    def init(key: Key) -> SACState:
        actor_key, first, second, key = jax.random.split(key, 4)
        actor = actor_network.init(actor_key, jnp.zeros(observation_size))
        inputs = jnp.zeros(observation_size + action_size)
        critics = (critic_network.init(first, inputs), critic_network.init(second, inputs))
        log_temperature = jnp.zeros(())
        trained = (actor, critics, log_temperature)
        return SACState(actor, critics, critics, log_temperature, optimizer.init(trained), key)

    def update(state: SACState, batch: Transitions) -> tuple[SACState, dict[str, Array]]:
        key, next_key, actor_key = jax.random.split(state.key, 3)
        temperature = jnp.exp(state.log_temperature)

        next_actions, next_log_prob = act(state.actor, next_key, batch.next_observations)
        next_values = values(state.targets, batch.next_observations, next_actions).min(axis=0)
        soft_values = next_values - temperature * next_log_prob
        target = batch.rewards + discount * (1 - batch.terminals) * soft_values

        def loss(trained):
            actor, critics, log_temperature = trained
            predicted = values(critics, batch.observations, batch.actions)
            critic_loss = jnp.sum(jnp.mean(jnp.square(predicted - target[None, :]), axis=1))
            actions, log_prob = act(actor, actor_key, batch.observations)
            value = values(state.critics, batch.observations, actions).min(axis=0)
            actor_loss = jnp.mean(temperature * log_prob - value)
            entropy_gap = jax.lax.stop_gradient(-jnp.mean(log_prob)) + action_size
            temperature_loss = log_temperature * entropy_gap
            metrics = {
                "critic_loss": critic_loss,
                "value": jnp.mean(predicted),
                "entropy": -jnp.mean(log_prob),
                "temperature": temperature,
            }
            return critic_loss + actor_loss + temperature_loss, metrics

        trained = (state.actor, state.critics, state.log_temperature)
        gradient, metrics = jax.grad(loss, has_aux=True)(trained)
        updates, optimizer_state = optimizer.update(gradient, state.optimizer, trained)
        actor, critics, log_temperature = optax.apply_updates(trained, updates)
        targets = optax.incremental_update(critics, state.targets, target_rate)
        return (
            SACState(actor, critics, targets, log_temperature, optimizer_state, key),
            metrics,
        )

    return SAC(init, update)
