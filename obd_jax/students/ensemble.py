"""Several students that act as one."""

import jax
import jax.numpy as jnp

from obd_jax.types import Array, InvalidInputError, Key, Params, Student, SyntheticData


def ensemble(student: Student, size: int) -> Student:
    """Ensemble of `size` students, which acts by their mean action (Lei et al. 2024).

    Raises:
        InvalidInputError: size is not positive.
    """
    if size < 1:
        raise InvalidInputError(f"an ensemble needs at least one student, got {size}")

    def fit(key: Key, synthetic: SyntheticData) -> Params:
        keys = jax.random.split(key, size)
        return jax.vmap(student.fit, in_axes=(0, None))(keys, synthetic)

    def act(params: Params, observations: Array) -> Array:
        actions = jax.vmap(student.act, in_axes=(0, None))(params, observations)
        return jnp.mean(actions, axis=0)

    return student._replace(fit=fit, act=act)
