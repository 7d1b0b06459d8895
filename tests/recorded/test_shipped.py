"""The policies in the package: there, small, and as good as their roles say."""

import pathlib

import numpy as np
import pytest

from obd_jax import environments, recorded
from obd_jax.types import InvalidInputError


@pytest.mark.parametrize("name", recorded.ROLES)
def test_there_is_a_ladder_up_to_medium_and_an_expert(name):
    steps, roles = recorded.snapshots(name), recorded.ROLES[name]
    assert set(roles.values()) <= set(steps)
    assert sum(step <= roles["medium"] for step in steps) >= 9
    assert steps[-1] == roles["expert"]
    environment = environments.get(name)
    rows = recorded.roll_out(recorded.snapshot(name, steps[0]).sample, environment, 80, seed=0)
    assert np.isfinite(rows["observations"]).all()


def test_all_of_them_take_little_room():
    folder = pathlib.Path(recorded.__file__).with_name("policies")
    assert sum(path.stat().st_size for path in folder.rglob("*.npz")) < 15e6


def test_the_expert_of_hopper_is_one():
    policy = recorded.snapshot("hopper", recorded.ROLES["hopper"]["expert"])
    rows = recorded.roll_out(policy.sample, environments.get("hopper"), 8 * 1000, seed=3)
    returns = rows["rewards"].reshape(8, 1000).sum(axis=1)
    assert not rows["terminals"].any()
    assert environments.normalized_score(environments.get("hopper"), returns).min() > 95


def test_what_is_not_there_is_refused_with_what_is():
    with pytest.raises(InvalidInputError, match="'ant'; they do for hopper, halfcheetah, walker2d"):
        recorded.snapshots("ant")
    with pytest.raises(InvalidInputError, match="after 5 steps; there are those after 10000, "):
        recorded.snapshot("hopper", 5)
