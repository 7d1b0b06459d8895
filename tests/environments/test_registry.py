"""Tasks of Gymnasium's registry."""

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete

from obd_jax import environments, evaluation
from obd_jax.environments import registry
from obd_jax.types import InvalidInputError

VECTORS = Box(-np.inf, np.inf, (3,), np.float32)
UNIT = Box(-1.0, 1.0, (2,), np.float32)


class Echo(gymnasium.Env):
    """Pays the first action; remembers what it was stepped with."""

    def __init__(self, observations=VECTORS, actions=UNIT, fails=False):
        if fails:
            raise RuntimeError("the licence server is asleep")
        self.observation_space, self.action_space = observations, actions
        self.taken = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(3, np.float32), {}

    def step(self, action):
        self.taken.append(action)
        return np.zeros(3, np.float32), float(action[0]), False, False, {}


@pytest.fixture
def register():
    """Registers `Echo` under the name that it returns, with limits and spaces as asked for."""
    names = []

    def register(limit=5, **kwargs):
        names.append(f"echo{len(names)}-v0")
        gymnasium.register(names[-1], Echo, max_episode_steps=limit, kwargs=kwargs)
        return names[-1]

    yield register
    for name in names:
        del gymnasium.registry[name]


@pytest.mark.parametrize(
    ("name", "sizes", "horizon", "bound"),
    [
        ("Pendulum-v1", (3, 1), 200, 2.0),
        ("InvertedPendulum-v5", (4, 1), 1000, 3.0),
        ("Swimmer-v5", (8, 2), 1000, None),
        ("Reacher-v5", (10, 2), 50, None),
        ("Humanoid-v5", (348, 17), 1000, 0.4),
    ],
)
def test_a_task_is_known_by_its_spaces(name, sizes, horizon, bound):
    spec = environments.get(name)
    assert (spec.name, spec.gymnasium_id, spec.sizes, spec.horizon) == (name, name, sizes, horizon)
    assert (spec.backend, spec.unit) == (f"gymnasium {name}", "return")
    if bound is None:
        assert spec.action_bounds is None
    else:
        np.testing.assert_allclose(spec.action_bounds.high, [bound] * sizes[1])
        np.testing.assert_allclose(spec.action_bounds.low, [-bound] * sizes[1])
    evaluation.check_environment(spec, *sizes)
    with pytest.raises(InvalidInputError, match=f"{name} has {sizes[0]} observations"):
        evaluation.check_environment(spec, sizes[0] + 1, sizes[1])


def test_a_task_acts_in_minus_one_to_one_whatever_its_bounds(register):
    name = register(actions=Box(np.float32([-2, 0]), np.float32([2, 0.1])))
    spec = environments.get(name)
    assert spec.action_bounds.low == (-2.0, 0.0)
    with environments.make(spec) as made:
        assert made.action_space == UNIT
        assert made.spec.max_episode_steps == 5
        made.reset(seed=0)
        for action in ([-1, -1], [1, 1], [0, 0], [0.5, 7]):
            made.step(np.array(action, np.float32))
        taken = np.array(made.unwrapped.taken)
    assert taken.dtype == np.float32
    np.testing.assert_allclose(taken, [[-2, 0], [2, 0.1], [0, 0.05], [1, 0.1]], rtol=1e-6)
    assert spec.action_bounds.high[1] == np.float32(0.1)


def test_a_package_registers_its_task_when_it_is_named(tmp_path, monkeypatch):
    (tmp_path / "own_tasks.py").write_text(
        "import gymnasium\n"
        "from gymnasium.envs.classic_control import PendulumEnv\n"
        "gymnasium.register('OwnPendulum-v0', PendulumEnv, max_episode_steps=7)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    spec = environments.get("own_tasks:OwnPendulum-v0")
    assert (spec.name, spec.sizes, spec.horizon) == ("own_tasks:OwnPendulum-v0", (3, 1), 7)
    with environments.make(spec) as made:
        assert made.spec.id == "OwnPendulum-v0"
    del gymnasium.registry["OwnPendulum-v0"]
    with pytest.raises(InvalidInputError, match="needs module absent: there is none in"):
        environments.get("absent:Task-v0")


def test_arguments_reach_the_task():
    spec = environments.get("Pendulum-v1", {"g": 1.0, "max_episode_steps": 9})
    assert spec.horizon == 9
    with environments.make(spec) as made:
        assert made.unwrapped.g == 1.0


REFUSED = {
    "dict observations": (
        {"observations": Dict({"position": VECTORS})},
        "has observations in Dict; a Box of vectors is needed",
    ),
    "discrete actions": ({"actions": Discrete(3)}, "has actions in Discrete"),
    "pictures": (
        {"observations": Box(0, 255, (4, 4, 3), np.uint8)},
        r"has observations of shape \(4, 4, 3\)",
    ),
    "unbounded actions": (
        {"actions": Box(-np.inf, np.inf, (2,), np.float32)},
        "real numbers between finite bounds are needed",
    ),
    "half-bounded actions": (
        {"actions": Box(np.float32([-1, -1]), np.float32([1, np.inf]))},
        "finite bounds",
    ),
    "whole numbers": ({"actions": Box(-1, 1, (2,), np.int64)}, "real numbers"),
    "one that fails": ({"fails": True}, "cannot be made: the licence server is asleep"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.filterwarnings("ignore:.*Box.*precision lowered")
def test_unusable_tasks_are_refused_with_a_reason(register, case):
    kwargs, words = REFUSED[case]
    with pytest.raises(InvalidInputError, match=words):
        environments.get(register(**kwargs))


def test_arguments_that_a_task_does_not_take_are_refused():
    with pytest.raises(InvalidInputError, match=r"cannot be made with {'gravity': 1}: .*gravity"):
        environments.get("Pendulum-v1", {"gravity": 1})


def test_a_task_whose_episodes_might_never_end_is_refused(register):
    spec = environments.get(register(limit=None))
    with pytest.raises(InvalidInputError, match=r'no time limit, .* env_kwargs={"max_episode_st'):
        evaluation.check_environment(spec, 3, 2)
    evaluation.check_environment(environments.get(spec.name, {"max_episode_steps": 3}), 3, 2)


def test_an_id_that_is_misspelled_is_refused_with_those_alike():
    with pytest.raises(InvalidInputError, match=r"'Pendulm-v1'; known .*; there are Pendulum-v1"):
        environments.get("Pendulm-v1")


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


def test_tasks_are_made_without_advice(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warnings into a file there.
    with environments.make(environments.get("halfcheetah")) as made:
        assert made.observation_space.shape == (17,)
        assert made.spec.id == "HalfCheetah-v4"
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InvalidInputError, match="nowhere is not a task of Gymnasium"):
        environments.make(environments.get("hopper")._replace(name="nowhere", gymnasium_id=None))


def test_other_warnings_of_mujoco_pass():
    with pytest.warns(UserWarning, match="attribute 'x' is deprecated"):
        registry._pass_on("attribute 'x' is deprecated")
