"""Calibrated conservative Q-learning."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from obd_jax.networks import LOG_STD_MAX, LOG_STD_MIN, MLP, sample_squashed
from obd_jax.teachers.algorithm import Algorithm, Batch, TrainState, scaled, values
from obd_jax.types import Array, Key, Params


class Scalars(NamedTuple):
    """What the actor learns besides its network, each [].

    log_temperature: of the entropy.
    multiplier:      of the network's log deviations.
    offset:          added to them.
    """

    log_temperature: Any
    multiplier: Any
    offset: Any


def cal_ql(
    observation_size: int,
    action_size: int,
    *,
    conservative_weight: float = 10.0,
    sampled_actions: int = 10,
    hidden_sizes: tuple[int, ...] = (256, 256),
    batch_size: int = 256,
    discount: float = 0.99,
    target_rate: float = 0.005,
    actor_learning_rate: float = 3e-5,
    critic_learning_rate: float = 3e-4,
) -> Algorithm:
    """Cal-QL (Nakamoto et al. 2023, arXiv 2303.05479), settings of CORL, the papers' teacher.

    critic loss = mean (r + discount min q'(s', a') - q)^2
                  + conservative_weight mean(logsumexp_a [q(s, a) - log p(a)] - q(s, a_data))

    with p the density that an action was drawn from, over uniform actions, pi's at s and pi's at
    s'; values of the last two kinds count as no less than the return of the data from s. The
    actor is that of SAC, with a learned temperature and a learned scale of its log deviations.

    Args:
        observation_size: D.
        action_size: A.
        conservative_weight: of the second term.
        sampled_actions: of each of the three kinds.
        hidden_sizes: of the critics; the actor has one layer more, as wide as the last.
        batch_size: B.
        discount: of rewards.
        target_rate: share of the critics in each step of their moving averages.
        actor_learning_rate: of Adam, for the actor and its scalars.
        critic_learning_rate: of Adam.
    """
    actor = MLP((*hidden_sizes, hidden_sizes[-1]), 2 * action_size)
    critic = MLP(hidden_sizes, 1)
    actor_optimizer = optax.adam(actor_learning_rate)
    critic_optimizer = optax.adam(critic_learning_rate)

    def init(key: Key) -> TrainState:
        actor_key, first, second, key = jax.random.split(key, 4)
        actor_params = actor.init(actor_key, jnp.zeros(observation_size))
        inputs = jnp.zeros(observation_size + action_size)
        critics = (critic.init(first, inputs), critic.init(second, inputs))
        scalars = Scalars(jnp.zeros(()), jnp.ones(()), -jnp.ones(()))
        return TrainState(
            actor=actor_params,
            critics=critics,
            targets=critics,
            others=scalars,
            optimizer=(
                actor_optimizer.init((actor_params, scalars)),
                critic_optimizer.init(critics),
            ),
            key=key,
            step=jnp.zeros((), jnp.int32),
        )

    def draw(
        params: Params, scalars: Scalars, key: Key, observations: Array, count: int
    ) -> tuple[Array, Array]:
        """Actions [count, B, A] of the policy and their log densities [count, B]."""
        outputs = jnp.asarray(actor.apply(params, observations))
        outputs = jnp.broadcast_to(outputs, (count, *outputs.shape))
        mean, log_std = jnp.split(outputs, 2, axis=-1)
        log_std = scalars.multiplier * log_std + scalars.offset
        return sample_squashed(key, mean, jnp.clip(log_std, LOG_STD_MIN, LOG_STD_MAX))

    def critic_loss(critics, state: TrainState, key: Key, batch: Batch) -> tuple[Array, Array]:
        target_key, uniform_key, own_key, next_key = jax.random.split(key, 4)
        actor_of = (state.actor, state.others)
        (next_action,), _ = draw(*actor_of, target_key, batch.next_observations, 1)
        next_value = values(critic, state.targets, batch.next_observations, next_action).min(0)
        target = batch.rewards + discount * (1 - batch.terminals) * next_value
        predicted = values(critic, critics, batch.observations, batch.actions)
        bellman = jnp.sum(jnp.mean(jnp.square(predicted - target[None, :]), axis=1))

        count = sampled_actions
        uniform = jax.random.uniform(uniform_key, (count, *batch.actions.shape), minval=-1.0)
        own, own_log_prob = draw(*actor_of, own_key, batch.observations, count)
        following, next_log_prob = draw(*actor_of, next_key, batch.next_observations, count)
        observations = jnp.broadcast_to(batch.observations, (count, *batch.observations.shape))

        def at(actions: Array) -> Array:
            return values(critic, critics, observations, actions)

        floor = batch.returns[None, None, :]
        log_uniform = -action_size * jnp.log(2.0)
        candidates = jnp.concatenate(
            [
                at(uniform) - log_uniform,
                jnp.maximum(at(following), floor) - next_log_prob[None],
                jnp.maximum(at(own), floor) - own_log_prob[None],
            ],
            axis=1,
        )
        gap = jax.nn.logsumexp(candidates, axis=1) - predicted
        conservative = conservative_weight * jnp.sum(jnp.mean(gap, axis=1))
        return bellman + conservative, jnp.mean(predicted)

    def actor_loss(trained, critics, key: Key, batch: Batch) -> Array:
        actor_params, scalars = trained
        (action,), (log_prob,) = draw(actor_params, scalars, key, batch.observations, 1)
        value = values(critic, critics, batch.observations, action).min(0)
        temperature = jax.lax.stop_gradient(jnp.exp(scalars.log_temperature))
        entropy_gap = jax.lax.stop_gradient(-jnp.mean(log_prob)) + action_size
        following = jnp.mean(temperature * log_prob - value)
        return following + scalars.log_temperature * entropy_gap

    def update(
        state: TrainState, batch: Batch, step_scale: Array | float = 1.0
    ) -> tuple[TrainState, dict[str, Array]]:
        key, critic_key, actor_key = jax.random.split(state.key, 3)
        own, shared = state.optimizer
        trained = (state.actor, state.others)
        gradient = jax.grad(actor_loss)(trained, state.critics, actor_key, batch)
        updates, own = actor_optimizer.update(gradient, own)
        new_actor, scalars = optax.apply_updates(trained, scaled(updates, step_scale))
        (loss, mean_value), gradient = jax.value_and_grad(critic_loss, has_aux=True)(
            state.critics, state, critic_key, batch
        )
        updates, shared = critic_optimizer.update(gradient, shared)
        critics = optax.apply_updates(state.critics, scaled(updates, step_scale))
        targets = optax.incremental_update(critics, state.targets, target_rate)
        new_state = TrainState(
            new_actor, critics, targets, scalars, (own, shared), key, state.step + 1
        )
        return new_state, {"critic_loss": loss, "value": mean_value}

    return Algorithm(init, update, actor, critic, discount, batch_size)
