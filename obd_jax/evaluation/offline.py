"""What can be said of a policy without an environment, on states that nothing was trained on.

Policies are known by their actions there, so they may be of any framework.
"""

from typing import Any, NamedTuple

import numpy as np

from obd_jax.types import InvalidInputError

DENSITY_PARTS = 10


def action_errors(actions: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Mean squared error of actions in every state, [B] float64.

    Args:
        actions: [K, B, A] of K policies, whose errors are averaged.
        wanted: [B, A] the actions to match.
    """
    difference = np.asarray(actions, np.float64) - np.asarray(wanted, np.float64)[None]
    return np.square(difference).mean(axis=(0, 2))


def by_density(
    errors: np.ndarray, log_density: np.ndarray, parts: int = DENSITY_PARTS
) -> np.ndarray:
    """Mean errors in equally large parts of the states, the rarest first: [parts].

    The last parts are the pivotal error of Lei et al. (2025), in states that the data often visit,
    the first ones the surrounding error, in those that they seldom do.

    Args:
        errors: [B].
        log_density: [B] of the same states; only its order counts.
        parts: at most B.

    Raises:
        InvalidInputError: fewer states than parts.
    """
    if len(errors) < parts:
        raise InvalidInputError(f"{len(errors)} states cannot be split into {parts} parts")
    ordered = np.asarray(errors)[np.argsort(log_density, kind="stable")]
    return np.array([part.mean() for part in np.array_split(ordered, parts)])


class Preference(NamedTuple):
    """How the teacher's critic rates a policy.

    share: share of the states where it prefers the teacher's action; a tie counts half.
    lost:  mean advantage of the teacher's action, in discounted return.
    """

    share: float
    lost: float


def preference(teacher_values: np.ndarray, values: np.ndarray) -> Preference:
    """Compare q*(s, pi*(s)) with q*(s, pi(s)).

    Args:
        teacher_values: [B] of the teacher's actions.
        values: [K, B] of K policies' actions in the same states.
    """
    advantage = np.asarray(teacher_values, np.float64)[None] - np.asarray(values, np.float64)
    share = np.mean((advantage > 0) + 0.5 * (advantage == 0))
    return Preference(float(share), float(advantage.mean()))


def estimate(values: np.ndarray) -> dict[str, Any]:
    """The return of a policy, estimated by an ensemble of critics.

    Args:
        values: [E, B] of the policy's actions in the first states of B episodes.

    Returns:
        mean, over members; spread, their standard deviation, which shows their disagreement but not
        the error of the estimate; members, the mean of each.
    """
    members = np.asarray(values, np.float64).mean(axis=1)
    spread = float(members.std(ddof=1)) if len(members) > 1 else None
    return {"mean": float(members.mean()), "spread": spread, "members": members.tolist()}
