"""Functions as teachers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from obd_jax import data, distill, teachers
from obd_jax.numerics import traceable
from obd_jax.settings import from_options
from obd_jax.teachers import Functions, TeacherSettings, from_function
from obd_jax.teachers.functions import imported, is_import
from obd_jax.types import ActionBounds, InvalidInputError

BOUNDS = ActionBounds((-2.0, 0.0), (2.0, 4.0))


def recording(action_bounds=None, rows=40):
    rng = np.random.default_rng(0)
    low, high = ((-1, -1), (1, 1)) if action_bounds is None else (BOUNDS.low, BOUNDS.high)
    return data.from_arrays(
        rng.normal(size=(rows, 3)), rng.uniform(low, high, (rows, 2)), action_bounds=action_bounds
    )


def in_units(observations):
    """Actions within BOUNDS, in NumPy."""
    assert type(observations) is np.ndarray  # Never a tracer.
    first = np.tanh(observations[:, :1])
    return np.concatenate([2 * first, 2 + first], axis=1)


class Tensor:
    """As PyTorch's: it must be detached and moved before it is an array."""

    def __init__(self, array, ready=False):
        self._array, self._ready = array, ready

    def detach(self):
        return self

    def cpu(self):
        return Tensor(self._array, ready=True)

    def __array__(self, dtype=None, copy=None):
        assert self._ready
        return np.asarray(self._array, dtype)


@pytest.mark.parametrize("wrap", [np.asarray, Tensor])
def test_a_function_acts_in_the_environments_units(wrap):
    offline = recording(BOUNDS)
    teacher = from_function(lambda states: wrap(in_units(states)), offline)
    first = np.tanh(offline.observations[:, :1])
    expected = np.concatenate([first, first / 2], axis=1)
    np.testing.assert_allclose(teacher.act(offline.observations), expected, atol=1e-6)
    assert teacher.action_bounds == BOUNDS
    targets = distill.pbc(offline, data.normalizer(offline.observations), teacher)
    np.testing.assert_allclose(targets.actions, expected, atol=1e-6)


def test_its_critic_sees_actions_in_the_environments_units():
    offline = recording(BOUNDS)
    seen = []

    def value(observations, actions):
        seen.append(actions)
        return observations[:, 0] + actions[:, 1]

    teacher = from_function(in_units, offline, value)
    actions = np.asarray(teacher.act(offline.observations))
    found = teacher.value(offline.observations, actions)
    np.testing.assert_allclose(seen[-1], in_units(offline.observations), atol=1e-6)
    np.testing.assert_allclose(found, offline.observations[:, 0] + seen[-1][:, 1])
    assert teacher.provenance.sha256 != from_function(in_units, offline).provenance.sha256


def test_what_jax_can_trace_stays_traceable():
    def act(states):
        return 2.0 + 0.0 * states[..., :2]

    offline, states = recording(BOUNDS), np.zeros((1, 3), np.float32)
    teacher = from_function(act, offline)
    assert traceable(teacher.act, states)
    np.testing.assert_allclose(jax.jit(teacher.act)(jnp.zeros((2, 3))), [[1, 0], [1, 0]])
    assert not traceable(from_function(in_units, offline).act, states)


def test_bounds_given_come_before_those_of_the_data():
    teacher = from_function(lambda s: np.tile([-2.0, 3.0], (len(s), 1)), recording(), None, BOUNDS)
    assert teacher.action_bounds == BOUNDS


UNUSABLE = {
    "beyond the bounds": (
        lambda s: np.full((len(s), 2), -1.0),
        r"lie in \[-2, 2\] x \[0, 4\]; they range from -1 to -1",
    ),
    "of another shape": (lambda s: s, r"actions of shape \(39, 3\)"),
    "one that fails": (lambda s: s @ np.zeros((4, 2)), r"fails on observations of shape \(39, 3\)"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_unusable_functions_are_refused(case):
    act, words = UNUSABLE[case]
    with pytest.raises(InvalidInputError, match=words):
        from_function(act, recording(BOUNDS))


def test_values_of_another_shape_are_refused():
    with pytest.raises(InvalidInputError, match=r"values of shape \(39, 1\)"):
        from_function(in_units, recording(BOUNDS), lambda s, a: s[:, :1])


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    (tmp_path / "own_policy.py").write_text(
        "import numpy as np\n"
        "def policy(states): return np.zeros((len(states), 2))\n"
        "def value(states, actions): return states[:, 0]\n"
        "class Expert:\n"
        "    act = staticmethod(policy)\n"
        "number = 3\n"
    )
    (tmp_path / "broken_policy.py").write_text("import nothing_of_the_kind\n")


def settings(**options):
    return from_options(TeacherSettings, options)


@pytest.mark.usefixtures("module")
def test_a_function_is_imported_by_name():
    chosen = settings(teacher="own_policy:policy", teacher_value="own_policy:value")
    assert not chosen.is_file
    functions = chosen.load()
    assert isinstance(functions, Functions)
    teacher = teachers.teacher_of(functions, recording())
    assert (teacher.provenance.source, teacher.provenance.name) == ("function", "policy")
    np.testing.assert_array_equal(teacher.value(np.ones((2, 3)), np.zeros((2, 2))), [1, 1])
    assert settings(teacher="own_policy:Expert.act").load().value is None


@pytest.mark.usefixtures("module")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("own_policy:absent", "own_policy has no absent"),
        ("own_policy:Expert", "is a class; a function"),
        ("own_policy:number", "is int; a function"),
        ("absent_module:policy", "needs module absent_module: there is none in"),
        ("broken_policy:policy", "broken_policy: it cannot be imported: ModuleNotFound.*nothing"),
    ],
)
def test_names_that_lead_to_no_function_are_refused(name, words):
    with pytest.raises(InvalidInputError, match=words):
        imported(name)


def test_names_of_functions_are_told_from_files():
    assert is_import("package.module:Class.method")
    for other in ("C:/teacher.npz", "teacher.npz", "rebrac", "a:b:c", ":policy", "module:"):
        assert not is_import(other)


def test_a_critic_needs_a_function_beside_it():
    with pytest.raises(InvalidInputError, match="teacher_value is for a teacher that is my_module"):
        settings(teacher="rebrac", teacher_value="module:value")


def test_a_model_of_stable_baselines_is_refused_with_a_way_out():
    with pytest.raises(InvalidInputError, match=r"needs PyTorch .* my_module:policy, .*predict"):
        settings(teacher="ppo.zip").load()


def test_a_teacher_of_other_bounds_is_refused():
    offline = recording(BOUNDS)
    teacher = from_function(in_units, offline)
    assert teachers.teacher_of(teacher, offline, None, BOUNDS) is teacher
    other = ActionBounds((-2.0, 0.0), (2.0, 5.0))
    with pytest.raises(InvalidInputError, match=r"acts in .* \[0, 4\]; actions .* \[0, 5\]"):
        teachers.teacher_of(teacher, offline, None, other)
    with pytest.raises(InvalidInputError, match=r"actions of arrays lie in \[-1, 1\]"):
        teachers.teacher_of(teacher, offline)
