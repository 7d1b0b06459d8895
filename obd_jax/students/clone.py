"""Behavioural cloning on all data, the baseline that distillation is measured against."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from obd_jax import networks
from obd_jax.types import Array, InvalidInputError, Key, Params

# Called after every block with the steps done and the block's mean loss.
CloneCallback = Callable[[int, float], None]


def clone(
    key: Key,
    observations: Array,
    actions: Array,
    *,
    hidden_sizes: tuple[int, ...] = (256, 256, 256),
    steps: int = 50_000,
    batch_size: int = 256,
    learning_rate: float = 3e-4,
    block: int = 1000,
    callback: CloneCallback | None = None,
) -> Params:
    """Train the network of an MLP student on all pairs, by Adam on random batches.

    The loss is the mean squared error of tanh(output); the rate falls to 0 by a cosine.

    Args:
        key: of initialisation and batches.
        observations: [M, D] normalised.
        actions: [M, A] in [-1, 1].
        hidden_sizes: widths of the ReLU layers.
        steps: of Adam, a multiple of `block`.
        batch_size: pairs of a step, drawn with replacement.
        learning_rate: at the start.
        block: steps in one compiled call, which is also the callback's interval.
        callback: for progress.

    Returns:
        Parameters that `act` of `students.mlp` with the same sizes takes.

    Raises:
        InvalidInputError: a number is not positive, or steps are no multiple of `block`.
        FloatingPointError: the loss is not finite.
    """
    if min(steps, batch_size, block) < 1 or not learning_rate > 0 or steps % block:
        raise InvalidInputError(
            "steps, batch size and learning rate must be positive and steps a multiple of "
            f"{block}, got {steps}, {batch_size} and {learning_rate}"
        )
    init_key, batch_key = jax.random.split(key)
    network = networks.MLP(tuple(hidden_sizes), actions.shape[1])
    params = networks.init_parameters(network, init_key, observations)
    optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))
    state = (params, optimizer.init(params))
    observations, actions = jnp.asarray(observations), jnp.asarray(actions)

    # Key and data are arguments: the program is the same for others of these sizes, and holds none.
    @functools.partial(jax.jit, donate_argnums=0)
    def train_block(state, start, key, observations, actions):
        def loss(params, rows):
            predicted = jnp.tanh(jnp.asarray(network.apply(params, observations[rows])))
            return jnp.mean(jnp.square(predicted - actions[rows]))

        def step(state, number):
            params, optimizer_state = state
            rows = jax.random.randint(
                jax.random.fold_in(key, number), (batch_size,), 0, len(actions)
            )
            value, gradient = jax.value_and_grad(loss)(params, rows)
            updates, optimizer_state = optimizer.update(gradient, optimizer_state)
            return (optax.apply_updates(params, updates), optimizer_state), value

        state, values = jax.lax.scan(step, state, start + jnp.arange(block))
        return state, values.mean()

    for done in range(0, steps, block):
        state, value = train_block(state, done, batch_key, observations, actions)
        if not jnp.isfinite(value):
            raise FloatingPointError(f"the cloning loss is not finite before step {done + block}")
        if callback is not None:
            callback(done + block, float(value))
    return state[0]
