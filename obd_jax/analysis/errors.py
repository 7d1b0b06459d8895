"""A policy's error where its teacher goes, and beside that."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from obd_jax.types import Array, Key, Normalizer, Teacher


class StateErrors(NamedTuple):
    """Mean squared errors of actions, over states and action dimensions.

    pivotal:     on states that the teacher visits.
    surrounding: on states around those.
    """

    pivotal: Array
    surrounding: Array


def state_errors(
    key: Key,
    act: Callable[[Array], Array],
    teacher: Teacher,
    normalizer: Normalizer,
    visited: Array,
    scale: float,
) -> StateErrors:
    """Pivotal and surrounding error of a policy (the two parts of Lei et al. 2025).

    The paper's surrounding states are those of the data near the teacher's; here they are drawn:
    the teacher's, moved by Gaussian noise.

    Args:
        key: of the noise.
        act: the policy, normalised observations [B, D] -> actions [B, A].
        teacher: what it should do.
        normalizer: of observations.
        visited: [B, D] raw states that the teacher visits.
        scale: deviation of the noise, in normalised units.
    """
    pivotal = jnp.asarray(normalizer.normalize(visited), jnp.float32)
    moved = pivotal + scale * jax.random.normal(key, pivotal.shape)

    def error(states: Array) -> Array:
        wanted = teacher.act(normalizer.denormalize(states))
        return jnp.mean((act(states) - wanted) ** 2)

    return StateErrors(error(pivotal), error(moved))
