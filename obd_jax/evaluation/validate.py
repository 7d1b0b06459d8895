"""Whether an environment fits what is to act in it."""

import jax

from obd_jax.environments import EnvironmentSpec, make
from obd_jax.evaluation.mjx import brax_environment
from obd_jax.types import InvalidInputError


def check_environment(
    environment: EnvironmentSpec, observation_size: int, action_size: int
) -> None:
    """Refuses an environment whose observations or actions have other sizes.

    Raises:
        InvalidInputError: sizes differ, or what simulates it is not installed.
    """
    given, expected = (observation_size, action_size), _sizes(environment)
    if given != expected:
        raise InvalidInputError(
            f"environment {environment.name} has {expected[0]} observations and {expected[1]} "
            f"actions; got {given[0]} and {given[1]}"
        )


def _sizes(environment):
    if environment.functional is not None:
        return environment.functional.observation_size, environment.functional.action_size
    if environment.simulator != "gymnasium":
        made = brax_environment(environment)
        state = jax.eval_shape(made.reset, jax.random.key(0))
        return state.obs.shape[-1], made.action_size
    from gymnasium.spaces import flatdim  # Here, so that other backends do without Gymnasium.

    with make(environment) as made:
        spaces = (made.observation_space, made.action_space)
        return tuple(flatdim(space) for space in spaces)
