"""What Gymnasium's v4 locomotion tasks add to their MuJoCo models, as pure functions.

Observation, reward and termination are those of Gymnasium's hopper_v4.py, half_cheetah_v4.py and
walker2d_v4.py, for arrays of NumPy or of JAX with any leading axes. Of float64 arrays of NumPy
they are Gymnasium's bit for bit.
"""

import functools
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np


class Task(NamedTuple):
    """What Gymnasium adds to the model.

    gymnasium_id:      the task.
    control_cost:      per squared unit of action.
    reset_scale:       of the noise on the first positions and velocities.
    normal_velocities: whether the noise on velocities is normal; it is uniform otherwise.
    healthy_reward:    for every step.
    velocity_limit:    observed velocities are clipped to it.
    heights:           open interval of the torso's height in which the task goes on, in metres.
    angles:            the same of the torso's angle, in radians.
    others:            the same of all other coordinates and of all velocities.
    """

    gymnasium_id: str
    control_cost: float
    reset_scale: float
    normal_velocities: bool = False
    healthy_reward: float = 0.0
    velocity_limit: float = np.inf
    heights: tuple[float, float] = (-np.inf, np.inf)
    angles: tuple[float, float] = (-np.inf, np.inf)
    others: tuple[float, float] = (-np.inf, np.inf)


# By Gymnasium's id.
TASKS = MappingProxyType(
    {
        task.gymnasium_id: task
        for task in (
            Task(
                "Hopper-v4",
                control_cost=1e-3,
                reset_scale=5e-3,
                healthy_reward=1.0,
                velocity_limit=10.0,
                heights=(0.7, np.inf),
                angles=(-0.2, 0.2),
                others=(-100.0, 100.0),
            ),
            Task("HalfCheetah-v4", control_cost=0.1, reset_scale=0.1, normal_velocities=True),
            Task(
                "Walker2d-v4",
                control_cost=1e-3,
                reset_scale=5e-3,
                healthy_reward=1.0,
                velocity_limit=10.0,
                heights=(0.8, 2.0),
                angles=(-1.0, 1.0),
            ),
        )
    }
)


def observe(task: Task, q: Any, qd: Any) -> Any:
    """Positions but the first, which is how far the body has come, and velocities: [..., D]."""
    xp = q.__array_namespace__()
    velocities = xp.clip(qd, -task.velocity_limit, task.velocity_limit)
    return xp.concat([q[..., 1:], velocities], axis=-1)


def reward(task: Task, velocity: Any, action: Any) -> Any:
    """For a step at a mean forward velocity in m/s, the last of an episode included: [...]."""
    xp = action.__array_namespace__()
    cost = task.control_cost * xp.square(action).sum(axis=-1)
    return velocity + task.healthy_reward - cost


def healthy(task: Task, q: Any, qd: Any) -> Any:
    """Whether the episode goes on, [...] bool."""
    xp = q.__array_namespace__()
    state = xp.concat([q, qd], axis=-1)
    low, high = _limits(task, state.shape[-1])
    return ((low < state) & (state < high)).all(axis=-1)


@functools.cache
def _limits(task: Task, size: int) -> np.ndarray:
    """Open intervals of all coordinates and velocities, [2, size]; how far it has come is free."""
    limits = np.tile(np.array(task.others)[:, None], size)
    limits[:, :3] = np.array([(-np.inf, np.inf), task.heights, task.angles]).T
    return limits
