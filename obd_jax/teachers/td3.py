"""TD3 with behaviour cloning: TD3+BC and ReBRAC."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from obd_jax.networks import MLP
from obd_jax.teachers.algorithm import Algorithm, Batch, TrainState, act, scaled, value, values
from obd_jax.types import Array, Key, Params

# As PyTorch initialises linear layers.
_KERNEL_INIT = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def td3_bc(
    observation_size: int,
    action_size: int,
    *,
    alpha: float = 2.5,
    hidden_sizes: tuple[int, ...] = (256, 256),
    learning_rate: float = 3e-4,
    batch_size: int = 256,
) -> Algorithm:
    """TD3+BC (Fujimoto & Gu 2021, arXiv 2106.06860), with its settings.

    Args:
        observation_size: D.
        action_size: A.
        alpha: weight of the value against the mean squared cloning error.
        hidden_sizes: of all networks.
        learning_rate: of Adam.
        batch_size: B.
    """
    return _td3(
        observation_size,
        action_size,
        cloning_weight=1 / action_size,
        value_weight=alpha,
        critic_penalty=0.0,
        hidden_sizes=hidden_sizes,
        layer_norm=False,
        learning_rate=learning_rate,
        batch_size=batch_size,
    )


def rebrac(
    observation_size: int,
    action_size: int,
    *,
    actor_penalty: float = 0.01,
    critic_penalty: float = 0.01,
    hidden_sizes: tuple[int, ...] = (256, 256, 256),
    learning_rate: float = 1e-3,
    batch_size: int = 1024,
) -> Algorithm:
    """ReBRAC (Tarasov et al. 2023, arXiv 2305.09836): penalties on actor and critic, LayerNorm.

    The actor follows the first critic, as in TD3; in the authors' code it follows the lesser one.

    Args:
        observation_size: D.
        action_size: A.
        actor_penalty: weight of the squared distance from the data's action, in the actor's loss.
        critic_penalty: the same for the next action, off the critic's target.
        hidden_sizes: of all networks.
        learning_rate: of Adam.
        batch_size: B.
    """
    return _td3(
        observation_size,
        action_size,
        cloning_weight=actor_penalty,
        value_weight=1.0,
        critic_penalty=critic_penalty,
        hidden_sizes=hidden_sizes,
        layer_norm=True,
        learning_rate=learning_rate,
        batch_size=batch_size,
    )


def _td3(
    observation_size: int,
    action_size: int,
    *,
    cloning_weight: float,
    value_weight: float,
    critic_penalty: float,
    hidden_sizes: tuple[int, ...],
    layer_norm: bool,
    learning_rate: float,
    batch_size: int,
    discount: float = 0.99,
    target_rate: float = 0.005,
    policy_noise: float = 0.2,
    noise_clip: float = 0.5,
    actor_interval: int = 2,
) -> Algorithm:
    """Twin delayed DDPG whose actor, and whose critics' target, are held to the data.

    actor loss  = mean(cloning_weight |pi(s) - a|^2 - value_weight q(s, pi(s)) / mean |q|)
    target      = r + discount (min q'(s', a') - critic_penalty |a' - a'_data|^2),
    a'          = pi'(s') + clipped noise

    The actor and all moving averages advance every `actor_interval` updates of the critics.
    """
    make = functools.partial(MLP, hidden_sizes, kernel_init=_KERNEL_INIT)
    actor, critic = make(action_size), make(1, layer_norm=layer_norm)
    optimizer = optax.adam(learning_rate)

    def init(key: Key) -> TrainState:
        actor_key, first, second, key = jax.random.split(key, 4)
        actor_params = actor.init(actor_key, jnp.zeros(observation_size))
        inputs = jnp.zeros(observation_size + action_size)
        critics = (critic.init(first, inputs), critic.init(second, inputs))
        return TrainState(
            actor=actor_params,
            critics=critics,
            targets=(actor_params, critics),
            others=(),
            optimizer=(optimizer.init(actor_params), optimizer.init(critics)),
            key=key,
            step=jnp.zeros((), jnp.int32),
        )

    def critic_loss(critics, targets, noise: Array, batch: Batch) -> tuple[Array, Array]:
        target_actor, target_critics = targets
        noise = jnp.clip(policy_noise * noise, -noise_clip, noise_clip)
        next_actions = jnp.clip(
            act(actor, target_actor, batch.next_observations, action_size) + noise, -1, 1
        )
        next_value = values(critic, target_critics, batch.next_observations, next_actions).min(0)
        penalty = jnp.sum(jnp.square(next_actions - batch.next_actions), axis=-1)
        target = batch.rewards + discount * (1 - batch.terminals) * (
            next_value - critic_penalty * penalty
        )
        predicted = values(critic, critics, batch.observations, batch.actions)
        error = predicted - jax.lax.stop_gradient(target)[None, :]
        return jnp.sum(jnp.mean(jnp.square(error), axis=1)), jnp.mean(predicted)

    def actor_loss(actor_params: Params, critics, batch: Batch) -> Array:
        actions = act(actor, actor_params, batch.observations, action_size)
        predicted = value(critic, critics[0], batch.observations, actions)
        scale = jax.lax.stop_gradient(jnp.mean(jnp.abs(predicted)))
        cloning = jnp.sum(jnp.square(actions - batch.actions), axis=-1)
        return jnp.mean(cloning_weight * cloning - value_weight * predicted / scale)

    def update(
        state: TrainState, batch: Batch, step_scale: Array | float = 1.0
    ) -> tuple[TrainState, dict[str, Array]]:
        key, noise_key = jax.random.split(state.key)
        noise = jax.random.normal(noise_key, batch.actions.shape)
        actor_optimizer, critic_optimizer = state.optimizer
        (loss, mean_value), gradient = jax.value_and_grad(critic_loss, has_aux=True)(
            state.critics, state.targets, noise, batch
        )
        updates, critic_optimizer = optimizer.update(gradient, critic_optimizer)
        critics = optax.apply_updates(state.critics, scaled(updates, step_scale))

        def improve(_):
            gradient = jax.grad(actor_loss)(state.actor, critics, batch)
            updates, new_optimizer = optimizer.update(gradient, actor_optimizer)
            new_actor = optax.apply_updates(state.actor, scaled(updates, step_scale))
            targets = optax.incremental_update((new_actor, critics), state.targets, target_rate)
            return new_actor, new_optimizer, targets

        def wait(_):
            return state.actor, actor_optimizer, state.targets

        new_actor, actor_optimizer, targets = jax.lax.cond(
            state.step % actor_interval == 0, improve, wait, None
        )
        new_state = TrainState(
            new_actor,
            critics,
            targets,
            (),
            (actor_optimizer, critic_optimizer),
            key,
            state.step + 1,
        )
        return new_state, {"critic_loss": loss, "value": mean_value}

    return Algorithm(
        init,
        update,
        actor,
        critic,
        discount,
        batch_size,
        largest_penalty=4 * action_size * critic_penalty,  # Actions are at most 2 apart.
    )
