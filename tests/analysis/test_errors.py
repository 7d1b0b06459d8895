"""Errors where the teacher goes and beside that, against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from obd_jax.analysis import state_errors
from obd_jax.types import Normalizer, Provenance, Teacher

TEACHER = Teacher(
    act=lambda states: states[..., :1],
    value=None,
    observation_size=2,
    action_size=1,
    provenance=Provenance("test", "test", ""),
)
NORMALIZER = Normalizer(jnp.array([3.0, -1.0]), jnp.array([2.0, 0.5]))
VISITED = np.random.default_rng(0).normal([3.0, -1.0], [2.0, 0.5], size=(20_000, 2))


def errors(act, scale=0.5):
    return state_errors(jax.random.key(0), act, TEACHER, NORMALIZER, jnp.asarray(VISITED), scale)


def test_the_teacher_itself_has_none():
    found = errors(lambda z: 3.0 + 2.0 * z[:, :1])
    assert float(found.pivotal) < 1e-10
    assert float(found.surrounding) < 1e-10


def test_noise_widens_the_states_by_its_variance():
    # A policy that stands still errs by the variance of what the teacher does.
    found = errors(lambda z: jnp.full((len(z), 1), 3.0))
    assert float(found.pivotal) == pytest.approx(4.0, rel=0.05)
    assert float(found.surrounding) == pytest.approx(4.0 * (1.0 + 0.5**2), rel=0.05)
