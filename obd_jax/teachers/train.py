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
from obd_jax.teachers.algorithm import Algorithm, Averaged, Batch, TrainState
from obd_jax.types import InvalidInputError, Key, Normalizer, OfflineData, Params

# One record per block of updates: "step", "progress", "seconds", "eta_seconds" and mean metrics.
TrainRecord = dict[str, Any]

# An average is over about this share of the updates so far, the last ones.
_AVERAGED = 0.1


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


def initial_state(key: Key, algorithm: Algorithm, *, average: bool = False) -> TrainState:
    """The state that a training starts from, with an average of the actor if it is to be kept."""
    state = algorithm.init(key)
    return state._replace(others=Averaged(state.others, state.actor)) if average else state


def late_anneal(progress: np.ndarray) -> np.ndarray:
    """Factor of the learning rates at a progress in [0, 1]: 1 for the first half, then down to 0.

    A cosine from the start costs a short training too much of its way: critics learn their values
    from their own, a step at a time (docs/teachers.md).
    """
    return np.clip(2.0 * (1.0 - progress), 0.0, 1.0)


def train(
    key: Key,
    algorithm: Algorithm,
    trainable: Trainable,
    *,
    steps: int,
    budget_seconds: float | None = None,
    state: TrainState | None = None,
    seconds: float = 0.0,
    block: int = 1000,
    callback: Callable[[TrainState, TrainRecord], None] | None = None,
) -> TrainState:
    """Update on random batches until `steps`, a block of updates in one compiled call.

    Args:
        key: of initialisation and batches; a batch depends on the key and its step alone.
        algorithm: what to train.
        trainable: what to train on.
        steps: total number of updates, a multiple of `block`.
        budget_seconds: wall-clock to train, compilation included and the callback's own time
            excluded; the block that passes it is the last. With it learning rates fall over the
            second half, which follows whichever of steps and budget is nearer its end, and
            the state's `policy` is an average. None: all steps at full learning rates.
        state: where to resume, as the callback was given it; None: from initialisation.
        seconds: time that `state` has taken, from the record that came with it.
        block: updates between two calls of `callback`.
        callback: called with the state and a record after each block. Its progress is 1 after the
            last.

    Returns:
        The state after the last update.

    Raises:
        InvalidInputError: steps are not a positive multiple of `block`, or fewer than `state` has
            done; a budget that is not positive.
        DivergedError: the critics' mean is not finite, or beyond what rewards allow.
    """
    if steps <= 0 or steps % block:
        raise InvalidInputError(f"steps must be a positive multiple of {block}, got {steps}")
    if budget_seconds is not None and not budget_seconds > 0:
        raise InvalidInputError(f"budget_seconds must be positive, got {budget_seconds}")
    init_key, batch_key = jax.random.split(key)
    if state is None:
        state = initial_state(init_key, algorithm, average=budget_seconds is not None)
    step = int(state.step)
    if step > steps:
        raise InvalidInputError(f"{step} updates are done already, {steps} were asked for")

    def progress_at(step: Any, seconds: Any) -> Any:
        done = step / steps
        return done if budget_seconds is None else np.maximum(done, seconds / budget_seconds)

    start, in_callback, block_seconds = time.perf_counter() - seconds, 0.0, 0.0
    while progress_at(step, seconds) < 1:
        scales = None
        if budget_seconds is not None:
            part = np.arange(block) / block
            ahead = progress_at(step + block * part, seconds + block_seconds * part)
            scales = late_anneal(ahead).astype(np.float32)
        following, metrics = _updates(
            algorithm, block, batch_key, state, trainable.transitions, scales
        )
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
        now = time.perf_counter() - start - in_callback
        block_seconds, seconds = now - seconds, now
        if callback is not None:
            remaining = (steps - step) * seconds / step
            if budget_seconds is not None:
                remaining = max(0.0, min(remaining, budget_seconds - seconds))
            place = {
                "step": step,
                "progress": min(1.0, float(progress_at(step, seconds))),
                "seconds": seconds,
                "eta_seconds": remaining,
            }
            called = time.perf_counter()
            callback(state, {**place, **record})
            in_callback += time.perf_counter() - called
    return state


@functools.partial(jax.jit, static_argnums=(0, 1))
def _updates(algorithm, block, key, state, transitions, scales):
    """A block of updates, with learning rates times scales [block] if given, and mean metrics."""

    def update(state, scale):
        rows = jax.random.randint(
            jax.random.fold_in(key, state.step),
            (algorithm.batch_size,),
            0,
            len(transitions.rewards),
        )
        batch = jax.tree.map(lambda column: column[rows], transitions)
        others, step_scale = state.others, 1.0 if scale is None else scale
        if not isinstance(others, Averaged):
            return algorithm.update(state, batch, step_scale)
        following, metrics = algorithm.update(state._replace(others=others.own), batch, step_scale)
        kept = Averaged(following.others, _averaged(others.average, following))
        return following._replace(others=kept), metrics

    state, metrics = jax.lax.scan(update, state, scales, length=block)
    return state, jax.tree.map(jnp.mean, metrics)


def _averaged(average: Params, state: TrainState) -> Params:
    """An average of the actor with its latest parameters in it, the first of which count fully."""
    others = 1 / _AVERAGED - 1
    weight = (1 + others) / (state.step + others)
    return jax.tree.map(lambda mean, new: mean + weight * (new - mean), average, state.actor)
