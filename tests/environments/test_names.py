"""Tasks by name."""

import subprocess
import sys

import gymnasium
import pytest

from obd_jax import environments, toy
from obd_jax.environments import normalized_score
from obd_jax.types import InvalidInputError


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
    with pytest.raises(InvalidInputError, match="brax hopper must not be normalised"):
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


def test_tasks_of_d4rl_are_known_without_gymnasium():
    code = (
        "import sys; from obd_jax import environments; environments.get('hopper'); "
        "environments.get('Walker2d-v5'); environments.get('brax:ant'); "
        "print({'gymnasium', 'mujoco', 'brax'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_arguments_make_a_known_task_another_one():
    plain = environments.get("ant", {"use_contact_forces": False})
    assert (plain.name, plain.sizes, plain.unit) == ("Ant-v4", (27, 8), "return")
    assert environments.get("ant", {}) is environments.get("ant")
    assert environments.get("Ant-v5", {"max_episode_steps": 7}).horizon == 7


def test_reference_returns_that_are_given_count():
    spec = environments.get("hopper", reference_returns=(0.0, 10.0))
    assert normalized_score(spec, 5.0) == pytest.approx(50.0)
    assert normalized_score(environments.get("hopper"), 3234.3) == pytest.approx(100.0)


def test_references_of_data_count_where_none_are_known():
    def scored(spec):
        return environments.with_references(spec, (-1600.0, -150.0), "mine/p-v0")

    pendulum = environments.get("Pendulum-v1")
    found = scored(pendulum)
    assert (found.unit, found.reference_source) == ("normalised return", "mine/p-v0")
    assert normalized_score(found, -150.0) == pytest.approx(100.0)
    assert environments.with_references(pendulum, None, "mine/p-v0") is pendulum
    for spec in (
        *(environments.get(name) for name in ("hopper", "Hopper-v5")),
        environments.get("Pendulum-v1", reference_returns=(0.0, 1.0)),
        # Other tasks than the data's.
        environments.get("Pendulum-v1", {"g": 9.81}),
        environments.get("brax:ant"),
        environments.simulated_by(environments.get("hopper"), "brax"),
    ):
        assert scored(spec) is spec
    card = environments.to_card(found)
    assert card == {
        "name": "Pendulum-v1",
        "backend": "gymnasium Pendulum-v1",
        "reference_returns": [-1600.0, -150.0],
        "reference_source": "mine/p-v0",
    }
    assert environments.from_card(card) == found


def test_tasks_of_brax_are_simulated_by_brax_and_nothing_else():
    ant = environments.get("brax:ant")
    assert (ant.backend, ant.short_name, ant.is_substitute) == ("brax ant", "ant", False)
    for simulator in ("gymnasium", "brax"):  # The first one is the default of every run.
        assert environments.simulated_by(ant, simulator) == ant
    with pytest.raises(InvalidInputError, match=r"mjx has hopper, .* brax:ant, which runs in brax"):
        environments.simulated_by(ant, "mjx")
    with pytest.raises(InvalidInputError, match="env_kwargs is for tasks of Gymnasium"):
        environments.get("brax:ant", {"backend": "spring"})
    assert environments.simulated_by(environments.get("hopper"), "brax").is_substitute


@pytest.mark.parametrize(
    ("arguments", "card"),
    {
        "known": (("hopper",), {"name": "hopper", "backend": "gymnasium Hopper-v4"}),
        "with arguments of its own": (("ant",), {"name": "ant", "backend": "gymnasium Ant-v4"}),
        "of brax": (("brax:ant",), {"name": "brax:ant", "backend": "brax ant"}),
        "of playground": (
            ("playground:FishSwim",),
            {"name": "playground:FishSwim", "backend": "playground FishSwim"},
        ),
        "with references": (
            ("hopper", None, (0.0, 9.0)),
            {
                "name": "hopper",
                "backend": "gymnasium Hopper-v4",
                "reference_returns": [0.0, 9.0],
            },
        ),
        "of the registry": (
            ("Pendulum-v1", {"g": 9.81}, (-1600.0, -150.0)),
            {
                "name": "Pendulum-v1",
                "backend": "gymnasium Pendulum-v1",
                "kwargs": {"g": 9.81},
                "reference_returns": [-1600.0, -150.0],
            },
        ),
    }.values(),
)
def test_a_card_of_a_task_leads_back_to_it(arguments, card):
    spec = environments.get(*arguments)
    assert environments.to_card(spec) == card
    assert environments.from_card(card) == spec


def test_names_of_one_task_are_told_from_those_of_another():
    same = environments.same_task
    assert same("hopper", "Hopper-v2")
    assert same("package:Mine-v0", "Mine-v1")
    assert not same("brax:ant", "Ant-v4")
    assert not same("Pendulum-v1", "InvertedPendulum-v5")
