"""Tasks of MuJoCo Playground."""

import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from obd_jax import environments, evaluation
from obd_jax.evaluation import playground
from obd_jax.types import InvalidInputError


@pytest.fixture
def suite(monkeypatch):
    """A control suite that says how its tasks were loaded."""
    made = SimpleNamespace(
        ALL_ENVS=("CartpoleBalance", "Long"),
        get_default_config=lambda name: SimpleNamespace(
            episode_length=2000 if name == "Long" else 1000
        ),
        load=lambda name, config_overrides: (name, config_overrides),
    )
    module = SimpleNamespace(dm_control_suite=made)
    monkeypatch.setitem(sys.modules, "mujoco_playground", module)


@pytest.mark.usefixtures("suite")
def test_tasks_run_in_jax():
    assert playground.load("CartpoleBalance") == ("CartpoleBalance", {"impl": "jax"})


@pytest.mark.usefixtures("suite")
def test_unknown_tasks_and_other_lengths_are_refused():
    with pytest.raises(InvalidInputError, match="no task 'Go1'; it has CartpoleBalance, Long"):
        playground.load("Go1")
    with pytest.raises(InvalidInputError, match="playground:Long has episodes of 2000 steps"):
        playground.load("Long")


def test_without_the_package_its_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mujoco_playground", None)
    with pytest.raises(InvalidInputError, match=r"MuJoCo Playground need .*obd-jax\[playground\]"):
        playground.load("CartpoleBalance")


def test_a_task_of_the_real_package_is_scored():
    pytest.importorskip("mujoco_playground", reason="MuJoCo Playground is not installed")
    spec = environments.get("playground:CartpoleBalance")
    with jax.numpy_rank_promotion("allow"):
        evaluation.check_environment(spec, 5, 1)
        scores = evaluation.score_policies(
            lambda force, observations: force + jnp.zeros_like(observations[..., :1]),
            jnp.array([0.0, 1.0]),
            spec,
            students=2,
            episodes=2,
            seed=0,
        )
    assert spec.unit == "return"
    # Nobody pushes, the pole falls slowly; pushed against the end of the rail it falls at once.
    assert (scores[0] > scores[1]).all()
    assert ((scores >= 0) & (scores <= 1000)).all()
