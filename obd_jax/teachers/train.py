"""The one loop that trains any teacher on offline data."""

import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from obd_jax import types
from obd_jax.data import normalizer as make_normalizer
from obd_jax.teachers.algorithm import Algorithm, Batch, TrainState
from obd_jax.types import InvalidInputError, Key, Normalizer, OfflineData

# One record per block of updates: "step", "seconds" since the call, and the block's mean metrics.
TrainRecord = dict[str, Any]


class DivergedError(types.DivergedError):
    """The critics left the range that rewards allow; carries the last good state."""

    def __init__(self, message: str, state: TrainState):
        super().__init__(message)
        self.state = state


class Trainable(NamedTuple):
    """Offline data as an algorithm takes them.

    transitions:  all of them, [M] on the device.
    normalizer:   of their observations.
    reward_scale: what rewards were multiplied with.
    value_bound:  largest size that a value can have, in scaled rewards.
    """

    transitions: Batch
    normalizer: Normalizer
    reward_scale: float
    value_bound: float


def prepare(algorithm: Algorithm, data: OfflineData) -> Trainable:
    """Offline data in the units of an algorithm.

    Raises:
        InvalidInputError: rewards missing, or constant without terminals, or fewer transitions
            than a batch.
    """
    where = data.provenance.name
    if len(data) < algorithm.batch_size:
        raise InvalidInputError(
            f"{where}: {len(data)} transitions are fewer than a batch of {algorithm.batch_size}"
        )
    # A constant reward still tells something where episodes end.
    if np.ptp(data.rewards) == 0 and (data.rewards[0] == 0 or not data.terminals.any()):
        raise InvalidInputError(
            f"{where}: all rewards are {data.rewards[0]:g} (or missing); nothing can be learned"
        )
    scale = 1.0
    if algorithm.normalize_rewards:
        spread = np.ptp(data.episode_returns) if len(data.episode_returns) else 0.0
        if spread == 0:
            raise InvalidInputError(f"{where}: complete episodes of different return are needed")
        scale = 1000.0 / float(spread)
    rewards = data.rewards * np.float32(scale)
    normalizer = make_normalizer(data.observations)
    transitions = Batch(
        observations=normalizer.normalize(jnp.asarray(data.observations)),
        actions=jnp.asarray(data.actions),
        rewards=jnp.asarray(rewards),
        next_observations=normalizer.normalize(jnp.asarray(data.next_observations)),
        next_actions=jnp.asarray(data.next_actions),
        terminals=jnp.asarray(data.terminals, jnp.float32),
        returns=jnp.asarray(
            discounted_returns(rewards, data.episode_starts, algorithm.discount), jnp.float32
        ),
    )
    largest = float(np.abs(rewards).max()) + algorithm.discount * algorithm.largest_penalty
    bound = largest / (1 - algorithm.discount)
    return Trainable(transitions, normalizer, scale, bound)


def discounted_returns(rewards: np.ndarray, starts: np.ndarray, discount: float) -> np.ndarray:
    """Discounted rewards [M] from each row to the end of its episode, float64."""
    from scipy.signal import lfilter  # Takes a while, and most commands train no teacher.

    ends = np.append(starts[1:], len(rewards))
    found = np.zeros(len(rewards))
    for start, end in zip(starts, ends, strict=True):
        backwards = rewards[start:end][::-1].astype(np.float64)
        found[start:end] = lfilter([1.0], [1.0, -discount], backwards)[::-1]
    return found


def train(
    key: Key,
    algorithm: Algorithm,
    trainable: Trainable,
    *,
    steps: int,
    state: TrainState | None = None,
    block: int = 1000,
    callback: Callable[[TrainState, TrainRecord], None] | None = None,
) -> TrainState:
    """Update on random batches until `steps`, a block of updates in one compiled call.

    Args:
        key: of initialisation and batches; a batch depends on the key and its step alone.
        algorithm: what to train.
        trainable: what to train on.
        steps: total number of updates, a multiple of `block`.
        state: where to resume; None: from initialisation.
        block: updates between two calls of `callback`.
        callback: called with the state and a record after each block.

    Returns:
        The state after the last update.

    Raises:
        InvalidInputError: steps are not a positive multiple of `block`, or fewer than `state` has
            done.
        DivergedError: the critics' mean is not finite, or beyond what rewards allow.
    """
    if steps <= 0 or steps % block:
        raise InvalidInputError(f"steps must be a positive multiple of {block}, got {steps}")
    init_key, batch_key = jax.random.split(key)
    if state is None:
        state = algorithm.init(init_key)
    if int(state.step) > steps:
        raise InvalidInputError(
            f"{int(state.step)} updates are done already, {steps} were asked for"
        )
    start = time.monotonic()
    while int(state.step) < steps:
        following, metrics = _updates(algorithm, block, batch_key, state, trainable.transitions)
        record = {name: float(metric) for name, metric in metrics.items()}
        step = int(following.step)
        if not abs(record["value"]) <= trainable.value_bound:
            raise DivergedError(
                f"the critics diverged before step {step}: their mean is {record['value']:.4g} and "
                f"rewards allow {trainable.value_bound:.4g}; lower the learning rate, or hold the "
                "actor closer to the data",
                state,
            )
        state = following
        if callback is not None:
            callback(state, {"step": step, "seconds": time.monotonic() - start, **record})
    return state


@functools.partial(jax.jit, static_argnums=(0, 1))
def _updates(algorithm, block, key, state, transitions):
    """A block of updates and the mean of their metrics."""

    def update(state, _):
        rows = jax.random.randint(
            jax.random.fold_in(key, state.step),
            (algorithm.batch_size,),
            0,
            len(transitions.rewards),
        )
        batch = jax.tree.map(lambda column: column[rows], transitions)
        return algorithm.update(state, batch)

    state, metrics = jax.lax.scan(update, state, length=block)
    return state, jax.tree.map(jnp.mean, metrics)
