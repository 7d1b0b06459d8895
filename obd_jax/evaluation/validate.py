"""Whether an environment fits what is to act in it."""

import jax

from obd_jax.environments import MAX_EPISODE_STEPS, EnvironmentSpec, make
from obd_jax.evaluation.mjx import brax_environment
from obd_jax.settings import OptionError
from obd_jax.types import InvalidInputError


def check_environment(
    environment: EnvironmentSpec, observation_size: int, action_size: int
) -> None:
    """Refuses an environment whose observations or actions have other sizes.

    Raises:
        InvalidInputError: sizes differ, episodes have no limit, or what simulates it is not
            installed.
    """
    given, (expected, horizon) = (observation_size, action_size), _sizes_and_horizon(environment)
    if given != expected:
        raise InvalidInputError(
            f"environment {environment.name} has {expected[0]} observations and {expected[1]} "
            f"actions; got {given[0]} and {given[1]}"
        )
    if horizon is None:
        raise OptionError(
            f"environment {environment.name} has no time limit, so an episode might never end: "
            'give one by {env_kwargs}={"max_episode_steps": 1000}'
        )


def _sizes_and_horizon(environment: EnvironmentSpec) -> tuple[tuple[int, int], int | None]:
    if environment.sizes is not None:
        return environment.sizes, environment.horizon
    task = environment.functional
    if task is not None:
        return (task.observation_size, task.action_size), task.horizon
    if environment.simulator != "gymnasium":
        made = brax_environment(environment)
        state = jax.eval_shape(made.reset, jax.random.key(0))
        return (state.obs.shape[-1], made.action_size), MAX_EPISODE_STEPS
    from gymnasium.spaces import flatdim  # Here, so that other backends do without Gymnasium.

    with make(environment) as own:
        sizes = flatdim(own.observation_space), flatdim(own.action_space)
        horizon = None if own.spec is None else own.spec.max_episode_steps
    return sizes, horizon
