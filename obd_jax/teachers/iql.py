"""Implicit Q-learning."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from obd_jax.networks import LOG_STD_MAX, LOG_STD_MIN, MLP
from obd_jax.teachers.algorithm import Algorithm, Batch, TrainState, act, scaled, values
from obd_jax.types import Array, Key, Params

_KERNEL_INIT = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
_LARGEST_WEIGHT = 100.0


def iql(
    observation_size: int,
    action_size: int,
    *,
    expectile: float = 0.7,
    inverse_temperature: float = 3.0,
    hidden_sizes: tuple[int, ...] = (256, 256),
    batch_size: int = 256,
    steps: int = 1_000_000,
    discount: float = 0.99,
    target_rate: float = 0.005,
    learning_rate: float = 3e-4,
) -> Algorithm:
    """Implicit Q-learning (Kostrikov et al. 2021, arXiv 2110.06169), settings of locomotion.

    value loss  = mean |expectile - (q' < v)| (q' - v)^2, q' the lesser of the targets' values
    critic loss = mean (r + discount v(s') - q)^2
    actor loss  = -mean min(exp(inverse_temperature (q' - v)), 100) log pi(a | s)

    The policy is a Gaussian around tanh of the network, with one deviation per action.

    Args:
        observation_size: D.
        action_size: A.
        expectile: of the value, in (0.5, 1).
        inverse_temperature: of the advantage weights.
        hidden_sizes: of all networks.
        batch_size: B.
        steps: over which the actor's learning rate falls to 0 along a cosine.
        discount: of rewards.
        target_rate: share of the critics in each step of their moving averages.
        learning_rate: of Adam.
    """
    make = functools.partial(MLP, hidden_sizes, kernel_init=_KERNEL_INIT)
    actor, critic, state_value = make(action_size), make(1), make(1)
    optimizer = optax.adam(learning_rate)
    actor_optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))

    def init(key: Key) -> TrainState:
        actor_key, first, second, value_key, key = jax.random.split(key, 5)
        observation = jnp.zeros(observation_size)
        inputs = jnp.zeros(observation_size + action_size)
        actor_params = actor.init(actor_key, observation)
        critics = (critic.init(first, inputs), critic.init(second, inputs))
        others = (state_value.init(value_key, observation), jnp.zeros(action_size))
        return TrainState(
            actor=actor_params,
            critics=critics,
            targets=critics,
            others=others,
            optimizer=(
                actor_optimizer.init((actor_params, others[1])),
                optimizer.init((critics, others[0])),
            ),
            key=key,
            step=jnp.zeros((), jnp.int32),
        )

    def v(params: Params, observations: Array) -> Array:
        return jnp.asarray(state_value.apply(params, observations))[..., 0]

    def critic_loss(trained, targets, batch: Batch) -> tuple[Array, Array]:
        critics, value_params = trained
        target_value = values(critic, targets, batch.observations, batch.actions).min(0)
        advantage = jax.lax.stop_gradient(target_value) - v(value_params, batch.observations)
        weight = jnp.abs(expectile - (advantage < 0))
        value_loss = jnp.mean(weight * jnp.square(advantage))
        next_value = jax.lax.stop_gradient(v(value_params, batch.next_observations))
        target = batch.rewards + discount * (1 - batch.terminals) * next_value
        predicted = values(critic, critics, batch.observations, batch.actions)
        error = predicted - target[None, :]
        loss = value_loss + jnp.sum(jnp.mean(jnp.square(error), axis=1))
        return loss, jnp.mean(predicted)

    def actor_loss(trained, advantage: Array, batch: Batch) -> Array:
        actor_params, log_std = trained
        mean = act(actor, actor_params, batch.observations, action_size)
        log_std = jnp.clip(log_std, LOG_STD_MIN, LOG_STD_MAX)[None, :]
        error = (batch.actions - mean) * jnp.exp(-log_std)
        log_prob = jnp.sum(-0.5 * jnp.square(error) - log_std - 0.5 * jnp.log(2 * jnp.pi), axis=-1)
        weight = jnp.minimum(jnp.exp(inverse_temperature * advantage), _LARGEST_WEIGHT)
        return -jnp.mean(weight * log_prob)

    def update(
        state: TrainState, batch: Batch, step_scale: Array | float = 1.0
    ) -> tuple[TrainState, dict[str, Array]]:
        value_params, log_std = state.others
        target_value = values(critic, state.targets, batch.observations, batch.actions).min(0)
        advantage = target_value - v(value_params, batch.observations)
        own, shared = state.optimizer
        gradient = jax.grad(actor_loss)((state.actor, log_std), advantage, batch)
        updates, own = actor_optimizer.update(gradient, own)
        new_actor, log_std = optax.apply_updates(
            (state.actor, log_std), scaled(updates, step_scale)
        )
        (loss, mean_value), gradient = jax.value_and_grad(critic_loss, has_aux=True)(
            (state.critics, value_params), state.targets, batch
        )
        updates, shared = optimizer.update(gradient, shared)
        critics, value_params = optax.apply_updates(
            (state.critics, value_params), scaled(updates, step_scale)
        )
        targets = optax.incremental_update(critics, state.targets, target_rate)
        new_state = TrainState(
            new_actor,
            critics,
            targets,
            (value_params, log_std),
            (own, shared),
            state.key,
            state.step + 1,
        )
        return new_state, {"critic_loss": loss, "value": mean_value}

    return Algorithm(init, update, actor, critic, discount, batch_size, normalize_rewards=True)
