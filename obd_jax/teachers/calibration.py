"""How far a teacher's critic can be believed."""

from typing import Any

import jax
import numpy as np

from obd_jax import recorded
from obd_jax.environments import EnvironmentSpec
from obd_jax.teachers.train import discounted_returns
from obd_jax.types import InvalidInputError, OfflineData, Teacher

# What is left of a return after so many steps, 0.99^300 = 5%, is not waited for.
_TAIL = 300
_RANDOM_ACTIONS = 10


def q_calibration(
    teacher: Teacher,
    environment: EnvironmentSpec,
    data: OfflineData,
    *,
    discount: float = 0.99,
    steps: int = 16_000,
    states: int = 10_000,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare q* with what pi* earns, and with q* of other actions.

    Args:
        teacher: with a critic.
        environment: a Gymnasium task.
        data: the states that Av-PBC weighs.
        discount: of q*.
        steps: of pi* in the environment.
        states: of the data that are looked at, at most.
        seed: of rollouts and draws.

    Returns:
        predicted, earned: mean q* and mean discounted return from pi*'s own states, those too
            close to the time limit left out; ratio: of the two; None where all are too close.
        rank_correlation: Spearman's, of the same; None where either is constant.
        best_of_random: share of the data's states where q* ranks pi*'s action above all of ten
            uniform ones; above_random: share of the pairs.
        weights: quantiles (0, 0.1, 0.5, 0.9, 1) of Av-PBC's weights max(q*, 0), mean 1, and
            effective_sample_fraction; None where no value is positive.
        negative: share of the data's states with a negative value.

    Raises:
        InvalidInputError: a teacher without a critic.
    """
    if teacher.value is None:
        raise InvalidInputError(f"the teacher {teacher.provenance.name} has no critic")
    from scipy.stats import spearmanr  # Takes a while, and most commands calibrate nothing.

    act, value = jax.jit(teacher.act), jax.jit(teacher.value)

    rows = recorded.roll_out(
        lambda _, observations: np.asarray(act(observations)), environment, steps, seed
    )
    ends = np.flatnonzero(rows["terminals"] | rows["timeouts"])
    starts = np.concatenate([[0], ends[:-1] + 1])
    earned = discounted_returns(rows["rewards"], starts, discount)
    left = np.repeat(ends, ends - starts + 1) - np.arange(len(earned))
    ended = np.repeat(rows["terminals"][ends], ends - starts + 1)
    counted = ended | (left >= _TAIL)
    predicted = np.asarray(value(rows["observations"], rows["actions"]), np.float64)
    predicted, earned = predicted[counted], earned[counted]

    generator = np.random.default_rng(seed)
    drawn = generator.choice(len(data), min(states, len(data)), replace=False)
    observations = data.observations[drawn]
    own = np.asarray(value(observations, act(observations)), np.float64)
    shape = (len(drawn), _RANDOM_ACTIONS, data.action_size)
    random = generator.uniform(-1, 1, shape).astype(np.float32)
    repeated = np.repeat(observations[:, None], _RANDOM_ACTIONS, axis=1)
    above = own[:, None] > np.asarray(value(repeated, random))
    weights = np.maximum(own, 0.0)
    positive = weights.max() > 0
    normalized = weights / weights.mean() if positive else weights
    known = len(earned) > 0
    varies = known and np.ptp(predicted) > 0 and np.ptp(earned) > 0
    return {
        "predicted": float(predicted.mean()) if known else None,
        "earned": float(earned.mean()) if known else None,
        "ratio": float(predicted.mean() / earned.mean()) if known and earned.mean() else None,
        "rank_correlation": float(spearmanr(predicted, earned)[0]) if varies else None,
        "best_of_random": float(above.all(axis=1).mean()),
        "above_random": float(above.mean()),
        "weights": np.quantile(normalized, [0, 0.1, 0.5, 0.9, 1]).tolist() if positive else None,
        "effective_sample_fraction": (
            float(1 / np.mean(np.square(normalized))) if positive else None
        ),
        "negative": float(np.mean(own < 0)),
    }
