"""Students trained from a synthetic set, and how they see raw observations."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from obd_jax.types import (
    ActionBounds,
    Array,
    InvalidInputError,
    Key,
    Normalizer,
    Params,
    Policy,
    Student,
    SyntheticData,
)


class NotFiniteError(InvalidInputError, FloatingPointError):
    """A set from which a student's training diverges: bad input, or the end of a distillation."""


@functools.lru_cache(maxsize=16)
def _fit_many(student: Student):
    return jax.jit(jax.vmap(student.fit, in_axes=(0, None)))


def fit_students(key: Key, student: Student, synthetic: SyntheticData, count: int) -> Params:
    """Train K = `count` students from scratch: params with a leading axis [K].

    Raises:
        NotFiniteError: a parameter is not finite.
    """
    params = _fit_many(student)(jax.random.split(key, count), synthetic)
    if not all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
        raise NotFiniteError(
            f"a student trained on these {len(synthetic.actions)} pairs is not finite; "
            f"{student.advice}"
        )
    return params


@functools.lru_cache(maxsize=16)
def student_policy(student: Student) -> Policy:
    """The student as a policy on raw observations; its params are (student's, normalizer).

    Cached, so that code for a student's policy is compiled once.
    """

    def policy(params: tuple[Params, Normalizer], observations: Array) -> Array:
        trained, normalizer = params
        return student.act(trained, normalizer.normalize(observations))

    return policy


def trained_policy(
    key: Key,
    student: Student,
    synthetic: SyntheticData,
    normalizer: Normalizer,
    action_bounds: ActionBounds | None = None,
) -> Callable[[Any], Any]:
    """One student, trained now, as a function of raw observations [..., D] -> actions [..., A].

    NumPy arrays and lists give NumPy arrays, JAX arrays give JAX arrays; it can be traced. Actions
    lie within the bounds, or in [-1, 1] without any.

    Raises:
        NotFiniteError: a parameter is not finite.
        InvalidInputError: on a call, observations of another size.
    """
    params = jax.tree.map(lambda leaf: leaf[0], fit_students(key, student, synthetic, 1))
    act = student_policy(student)

    @jax.jit
    def compiled(params, observations):
        actions = act(params, observations)
        return actions if action_bounds is None else action_bounds.denormalize(actions)

    size = synthetic.observations.shape[1]

    def policy(observations: Any) -> Any:
        if np.shape(observations)[-1:] != (size,):
            raise InvalidInputError(
                f"observations of shape {np.shape(observations)}; [..., {size}] is needed"
            )
        actions = compiled((params, normalizer), jnp.asarray(observations, jnp.float32))
        return actions if isinstance(observations, jax.Array) else np.asarray(actions)

    return policy
