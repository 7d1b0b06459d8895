"""Students trained from a synthetic set, and how they see raw observations."""

import functools

import jax

from obd_jax.types import Array, Key, Normalizer, Params, Policy, Student, SyntheticData


@functools.lru_cache(maxsize=16)
def _fit_many(student: Student):
    return jax.jit(jax.vmap(student.fit, in_axes=(0, None)))


def fit_students(key: Key, student: Student, synthetic: SyntheticData, count: int) -> Params:
    """Train K = `count` students from scratch: params with a leading axis [K]."""
    return _fit_many(student)(jax.random.split(key, count), synthetic)


@functools.lru_cache(maxsize=16)
def student_policy(student: Student) -> Policy:
    """The student as a policy on raw observations; its params are (student's, normalizer).

    Cached, so that whatever is compiled for a student's policy is compiled once.
    """

    def policy(params: tuple[Params, Normalizer], observations: Array) -> Array:
        trained, normalizer = params
        return student.act(trained, normalizer.normalize(observations))

    return policy
