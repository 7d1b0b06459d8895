"""Tasks in Gymnasium's registry: what they are like, and how they are made."""

import difflib
import warnings
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from obd_jax.environments.d4rl import KNOWN
from obd_jax.environments.spec import EnvironmentSpec
from obd_jax.extras import load_module
from obd_jax.types import ActionBounds, InvalidInputError

if TYPE_CHECKING:
    import gymnasium


def registered(gymnasium_id: str, kwargs: Mapping[str, Any]) -> EnvironmentSpec:
    """A task by its id, which is made once for its sizes, bounds and time limit.

    Args:
        gymnasium_id: `Pendulum-v1`, or `package:MyEnv-v0` of a package that registers it.
        kwargs: further arguments of `gymnasium.make`.

    Raises:
        InvalidInputError: an unknown id, arguments that it does not take, observations or actions
            that are no vectors, or actions without bounds.
    """
    known_id = _import_package(gymnasium_id)
    if not _is_registered(known_id):
        raise InvalidInputError(
            f"unknown environment {gymnasium_id!r}; known are {', '.join(KNOWN)}, any id of "
            f"Gymnasium's or of a package that registers it (package:ID), Brax's own (brax:ant), "
            f"MuJoCo Playground's (playground:CartpoleBalance){_alike(known_id)}"
        )
    spec = EnvironmentSpec(gymnasium_id, gymnasium_id, MappingProxyType(dict(kwargs)), None, None)
    with make(spec) as made:
        observations = _vectors(gymnasium_id, "observations", made.observation_space)
        actions = _vectors(gymnasium_id, "actions", made.action_space)
        horizon = None if made.spec is None else made.spec.max_episode_steps
    low, high = actions.low, actions.high
    if actions.dtype.kind != "f" or not (np.isfinite(low) & np.isfinite(high) & (low < high)).all():
        raise InvalidInputError(
            f"{gymnasium_id} has actions in {actions}; real numbers between finite bounds are "
            "needed"
        )
    bounds = ActionBounds(tuple(low.tolist()), tuple(high.tolist()))
    return spec._replace(
        action_bounds=None if bounds.is_unit else bounds,
        sizes=(observations.shape[0], actions.shape[0]),
        horizon=horizon,
    )


def _vectors(name: str, what: str, space: Any) -> "gymnasium.spaces.Box":
    """The space, if it is one of vectors."""
    from gymnasium.spaces import Box  # Here, so that known tasks do without Gymnasium.

    if not isinstance(space, Box):
        raise InvalidInputError(
            f"{name} has {what} in {type(space).__name__}; a Box of vectors is needed (Gymnasium's "
            "wrappers make one of many spaces: register the environment with one)"
        )
    if len(space.shape) != 1:
        raise InvalidInputError(f"{name} has {what} of shape {space.shape}; vectors are needed")
    return space


def make(environment: EnvironmentSpec) -> "gymnasium.Env":
    """The task in Gymnasium, acting in [-1, 1], without advice to use newer ones.

    Raises:
        InvalidInputError: Gymnasium does not have it, or cannot make it.
    """
    name = environment.gymnasium_id
    if name is None:
        raise InvalidInputError(f"{environment.name} is not a task of Gymnasium's")
    import gymnasium  # Here, so that data and distillation do without a simulator.
    import mujoco

    known_id = _import_package(name)
    if not _is_registered(known_id):
        raise InvalidInputError(
            f"Gymnasium has no task {known_id!r}{_alike(known_id)}; import the package that "
            "registers it first, or name it: package:ID"
        )
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(_pass_on)
    try:
        # By specification rather than by name: no advice to move to v5, whose physics differ.
        made = gymnasium.make(gymnasium.registry[known_id], **environment.make_kwargs)
    except Exception as error:  # Constructors raise what they like.
        given = f" with {dict(environment.make_kwargs)}" if environment.make_kwargs else ""
        raise InvalidInputError(f"{name} cannot be made{given}: {error}") from error
    finally:
        mujoco.set_mju_user_warning(before)
    bounds = environment.action_bounds
    if bounds is None:
        return made
    unit = gymnasium.spaces.Box(-1.0, 1.0, (len(bounds.low),), np.float32)
    return gymnasium.wrappers.TransformAction(made, bounds.denormalize, unit)


def _import_package(gymnasium_id: str) -> str:
    """Import the package of `package:ID`; returns the id in the registry."""
    package, _, known_id = gymnasium_id.rpartition(":")
    if package:
        load_module(package, f"environment {gymnasium_id}")
    return known_id


def _is_registered(known_id: str) -> bool:
    import gymnasium

    return known_id in gymnasium.registry


def _alike(known_id: str) -> str:
    """Ids that are spelled like one that there is not, as the end of a sentence."""
    import gymnasium

    close = difflib.get_close_matches(known_id, gymnasium.registry, 3, 0.8)
    return f"; there are {', '.join(close)}" if close else ""


def _pass_on(message: str) -> None:
    if "'settotalmass' is deprecated" not in message:
        warnings.warn(message, stacklevel=2)
