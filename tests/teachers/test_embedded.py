"""The package's experts as teachers."""

import numpy as np
import pytest

from obd_jax import environments, evaluation, recorded
from obd_jax.teachers import behavior_teacher
from obd_jax.types import InvalidInputError


@pytest.mark.parametrize("name", recorded.ROLES)
def test_it_acts_by_the_mean_of_the_expert(name):
    teacher = behavior_teacher(name)
    policy = recorded.snapshot(name, recorded.ROLES[name]["expert"])
    states = np.random.default_rng(0).normal(size=(5, 4, teacher.observation_size))
    mean, _ = policy.gaussian(states.astype(np.float32))
    actions = teacher.act(states.astype(np.float32))
    np.testing.assert_allclose(actions, np.tanh(mean), atol=1e-4)
    assert actions.shape == (5, 4, teacher.action_size)
    assert teacher.value is None
    assert teacher.provenance.name.startswith(f"{name} expert")
    evaluation.check_environment(
        environments.get(name), teacher.observation_size, teacher.action_size
    )


def test_an_environment_without_one_is_refused():
    with pytest.raises(InvalidInputError, match="'ant'; they do for hopper"):
        behavior_teacher("ant")
