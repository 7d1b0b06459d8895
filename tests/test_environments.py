"""Tasks and their reference returns."""

import gymnasium
import numpy as np
import pytest

from obd_jax import environments, evaluation, toy
from obd_jax.environments import normalized_score, parse_dataset
from obd_jax.types import InvalidInputError


# D4RL's reference returns (Fu et al. 2020, arXiv 2004.07219, and its `infos.py`).
@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("hopper", -20.272305, 3234.3),
        ("halfcheetah", -280.178953, 12135.0),
        ("walker2d", 1.629008, 4592.3),
        ("ant", -325.6, 3879.7),
    ],
)
def test_reference_returns_score_0_and_100(name, low, high):
    np.testing.assert_allclose(
        normalized_score(environments.get(name), [[low, high], [(low + high) / 2, low]]),
        [[0, 100], [50, 0]],
        atol=1e-10,
    )


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


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Hoper-v4", r"no task 'Hoper-v4'; there are Hopper-v4, .* import"),
        ("Mine", "'Mine'; import"),
    ],
)
def test_a_task_that_nothing_has_registered_is_refused(name, words):
    spec = environments.get("hopper")._replace(name="mine", gymnasium_id=name)
    with pytest.raises(InvalidInputError, match=words):
        environments.make(spec)
    with pytest.raises(InvalidInputError, match=words):
        evaluation.check_environment(spec, 11, 3)


@pytest.mark.parametrize("name", ["walker2d-medium-expert", "walker2d-medium-expert-v2"])
def test_data_set_names_lead_to_their_task(name):
    assert parse_dataset(name) == (environments.get("walker2d"), "medium-expert")


def test_gymnasium_ids_lead_to_their_task():
    assert environments.get("Walker2d-v2") is environments.get("walker2d")
    assert environments.get("Walker2d-v4") is environments.get("walker2d")
    newer = environments.get("Walker2d-v5")
    assert (newer.name, newer.backend) == ("Walker2d-v5", "gymnasium Walker2d-v5")
    assert newer.reference_max == environments.get("walker2d").reference_max
    # The friction of the right foot is one of the changes of v5.
    feet = []
    for spec in (environments.get("walker2d"), newer):
        made = gymnasium.make(gymnasium.registry[spec.gymnasium_id], **spec.make_kwargs)
        feet.append(made.unwrapped.model.geom("foot_geom").friction[0])
        made.close()
    assert feet == [0.9, 1.9]


def test_a_simulator_is_named_and_says_whether_its_returns_are_normalised():
    hopper = environments.get("hopper")
    assert environments.simulated_by(hopper, "gymnasium") == hopper
    mjx, brax = (environments.simulated_by(hopper, name) for name in ("mjx", "brax"))
    assert [spec.backend for spec in (hopper, mjx, brax)] == [
        "gymnasium Hopper-v4",
        "mjx Hopper-v4",
        "brax hopper",
    ]
    assert [spec.unit for spec in (hopper, mjx, brax)] == [
        "normalised return",
        "normalised return",
        "raw Brax return",
    ]
    assert normalized_score(mjx, 3234.3) == pytest.approx(100.0)
    with pytest.raises(InvalidInputError, match="brax hopper are not to be normalised"):
        normalized_score(brax, 3234.3)


@pytest.mark.parametrize("spec", [*map(environments.get, ("ant", "Hopper-v5")), toy.SPEC])
@pytest.mark.parametrize("simulator", ["mjx", "brax"])
def test_tasks_that_a_simulator_lacks_are_refused_with_those_it_has(spec, simulator):
    expected = f"{simulator} has hopper, halfcheetah, walker2d, and not {spec.name}, which runs in"
    with pytest.raises(InvalidInputError, match=expected):
        environments.simulated_by(spec, simulator)


def test_an_unknown_simulator_is_refused_with_those_known():
    with pytest.raises(InvalidInputError, match="'bullet'; known are gymnasium, mjx, brax"):
        environments.simulated_by(environments.get("hopper"), "bullet")


def test_an_unknown_environment_is_refused_with_those_known():
    with pytest.raises(InvalidInputError, match="'humanoid'; known are hopper, halfcheetah"):
        environments.get("humanoid")


@pytest.mark.parametrize("name", ["hopper", "hopper-", "humanoid-medium", "hopper-good", "", "-v2"])
def test_an_unknown_data_set_is_refused_with_those_known(name):
    with pytest.raises(InvalidInputError, match=r"unknown data set .*hopper.*medium-replay"):
        parse_dataset(name)


def test_tasks_are_made_without_advice(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warnings into a file there.
    with environments.make(environments.get("halfcheetah")) as made:
        assert made.observation_space.shape == (17,)
        assert made.spec.id == "HalfCheetah-v4"
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InvalidInputError, match="nowhere is no task of Gymnasium"):
        environments.make(environments.get("hopper")._replace(name="nowhere", gymnasium_id=None))


def test_other_warnings_of_mujoco_pass():
    with pytest.warns(UserWarning, match="attribute 'x' is deprecated"):
        environments._pass_on("attribute 'x' is deprecated")
