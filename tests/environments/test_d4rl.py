"""D4RL's tasks and the names of its data sets."""

import gymnasium
import pytest

from obd_jax import environments
from obd_jax.environments import parse_dataset
from obd_jax.types import InvalidInputError


# Observation and action sizes of the D4RL v2 data.
@pytest.mark.parametrize(
    ("name", "observation_size", "action_size"),
    [("hopper", 11, 3), ("halfcheetah", 17, 6), ("walker2d", 17, 6), ("ant", 111, 8)],
)
def test_gymnasium_tasks_have_the_sizes_of_the_data(name, observation_size, action_size):
    spec = environments.get(name)
    made = gymnasium.make(gymnasium.registry[spec.gymnasium_id], **spec.make_kwargs)
    assert made.observation_space.shape == (observation_size,)
    assert made.action_space.shape == (action_size,)
    made.close()


@pytest.mark.parametrize("name", ["walker2d-medium-expert", "walker2d-medium-expert-v2"])
def test_data_set_names_lead_to_their_task(name):
    assert parse_dataset(name) == (environments.get("walker2d"), "medium-expert")


@pytest.mark.parametrize("name", ["hopper", "hopper-", "humanoid-medium", "hopper-good", "", "-v2"])
def test_an_unknown_data_set_is_refused_with_those_known(name):
    with pytest.raises(InvalidInputError, match=r"unknown data set .*hopper.*medium-replay"):
        parse_dataset(name)
