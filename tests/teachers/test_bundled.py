"""The teachers in the package."""

import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from obd_jax import environments, evaluation, teachers
from obd_jax.types import InvalidInputError

NAMES = teachers.bundled_names()


@pytest.mark.parametrize("name", NAMES)
def test_they_fit_their_environment_and_are_small(name):
    environment, _ = environments.parse_dataset(name)
    teacher = teachers.bundled_teacher(name)
    evaluation.check_environment(environment, teacher.observation_size, teacher.action_size)
    states = jnp.asarray(np.random.default_rng(0).normal(size=(5, 17)), jnp.float32)
    actions = teacher.act(states[:, : teacher.observation_size])
    assert np.isfinite(teacher.value(states[:, : teacher.observation_size], actions)).all()
    assert teacher.provenance.name == f"bundled {name}"
    path = pathlib.Path(teachers.__file__).with_name("weights") / f"{name}.npz"
    assert path.stat().st_size < 1.5e6


def test_that_of_walker2d_medium_expert_walks():
    teacher = teachers.bundled_teacher("walker2d-medium-expert")
    scores = evaluation.score_policies(
        lambda _, observations: teacher.act(observations),
        np.zeros(1),
        environments.get("walker2d"),
        students=1,
        episodes=3,
        seed=0,
    )
    assert scores.min() > 90


def test_a_data_set_without_one_is_refused_with_those_that_have():
    with pytest.raises(InvalidInputError, match=r"'ant-medium'; it has .*walker2d-medium"):
        teachers.bundled_teacher("ant-medium")
