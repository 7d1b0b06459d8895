"""What is to be distilled: data, teacher and environment that fit each other."""

import dataclasses
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from obd_jax import Problem, data, environments, teachers, toy
from obd_jax.pipeline import problem
from obd_jax.pipeline.preparation import prepare
from obd_jax.pipeline.problem import environment_named, load_problem
from obd_jax.pipeline.settings import Distillation, RunSettings
from obd_jax.pipeline.targets import make_objective
from obd_jax.reporting import SILENT, Clock
from obd_jax.settings import from_options
from obd_jax.teachers import TeacherSettings
from obd_jax.types import ActionBounds, InvalidInputError, Teacher
from tests.pipeline.toy_runs import TINY, few_transitions

ROWS = 40  # The last of which has no next state.


def arrays(observation_size=4, action_size=2):
    rng = np.random.default_rng(0)
    return data.from_arrays(
        rng.normal(size=(ROWS, observation_size)),
        rng.uniform(-1, 1, (ROWS, action_size)),
        rng.normal(size=ROWS),
    )


def still(observations):
    return jnp.zeros((len(observations), 2))


def test_the_teacher_of_embedded_data_comes_with_the_package(tmp_path, monkeypatch):
    monkeypatch.setenv("OBD_JAX_CACHE", str(tmp_path))
    options = {"dataset": "walker2d-medium", "source": "embedded", "data_rows": 400, "pairs": 8}
    found = load_problem(from_options(RunSettings, options), SILENT)
    assert found.teacher.provenance.name == "bundled walker2d-medium"
    assert found.teacher.value is not None
    other = load_problem(from_options(RunSettings, {**options, "teacher": "behavior"}), SILENT)
    assert other.teacher.value is None
    # The same for data at hand.
    assert Problem(found.data).teacher.provenance == found.teacher.provenance
    behavior = Problem(found.data, "behavior", "walker2d").teacher
    assert behavior.provenance == other.teacher.provenance


def test_the_toy_has_its_own_teacher_and_environment(monkeypatch, capsys):
    few_transitions(monkeypatch)
    found = load_problem(TINY, SILENT)
    assert found.environment == toy.SPEC
    assert found.teacher.provenance == toy.teacher().provenance
    assert len(found.data) == 500
    assert Problem(found.data).teacher.provenance == toy.teacher().provenance
    assert capsys.readouterr() == ("", "")  # Which SILENT asks for.


def test_an_environment_is_a_record_or_a_name_or_absent():
    assert Problem(arrays(), still).environment is None
    assert Problem(arrays(), still, toy.SPEC).environment is toy.SPEC
    assert Problem(arrays(), still, toy.SPEC.name).environment is toy.SPEC
    hopper = Problem(arrays(11, 3), lambda x: jnp.zeros((len(x), 3)), "hopper")
    assert hopper.environment == environments.get("hopper")
    assert environment_named("Hopper-v5") == environments.get("Hopper-v5")
    with pytest.raises(InvalidInputError, match="hopper has 11 observations"):
        Problem(arrays(), still, "hopper")
    with pytest.raises(InvalidInputError, match="'cartpole'"):
        Problem(arrays(), still, "cartpole")


def test_a_function_is_a_teacher_without_a_critic():
    teacher = Problem(arrays(), still).teacher
    assert isinstance(teacher, Teacher)
    assert teacher.value is None
    assert (teacher.observation_size, teacher.action_size) == (4, 2)
    assert teacher.provenance.source == "function"
    assert "still" in teacher.provenance.name
    # Its hash is that of what it does.
    same = Problem(arrays(), lambda x: np.zeros((len(x), 2))).teacher.provenance.sha256
    other = Problem(arrays(), lambda x: np.ones((len(x), 2))).teacher.provenance.sha256
    assert same == teacher.provenance.sha256 != other


UNUSABLE = {
    "the package's for own data": ("bundled", "teacher=bundled is for embedded data"),
    "of other sizes": (
        toy.teacher()._replace(observation_size=5),
        "has 4 observations and 2 actions; the teacher point-mass has 5 and 2",
    ),
    "an unknown name": ("sac", "unknown teacher 'sac'; known: bundled, behavior, rebrac"),
    "a missing file": ("/absent.npz", "/absent.npz: cannot be read: No such file"),
    "neither": (3, "got int"),
    "actions of another shape": (
        lambda states: states,
        r"actions of shape \(39, 4\) for 39 states; the data need \(39, 2\)",
    ),
    "one action": (lambda states: np.zeros(2), r"actions of shape \(2,\) for 39 states"),
    "actions out of bounds": (
        lambda states: 2.0 * np.ones((len(states), 2)),
        r"lie in \[-1, 1\]; they range from 2 to 2",
    ),
    "actions that are not finite": (
        lambda states: np.full((len(states), 2), np.nan),
        r"must be finite and lie in \[-1, 1\]",
    ),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_unusable_teachers_are_refused(case):
    given, message = UNUSABLE[case]
    with pytest.raises(InvalidInputError, match=message):
        Problem(arrays(), given)


def recorded_in(environment, offline=None):
    offline = arrays(17, 6) if offline is None else offline
    provenance = dataclasses.replace(offline.provenance, environment=environment)
    return dataclasses.replace(offline, provenance=provenance)


def test_data_teacher_and_environment_of_two_tasks_of_equal_sizes_are_refused():
    offline = recorded_in("HalfCheetah-v2")
    own = teachers.behavior_teacher("halfcheetah")
    other = teachers.behavior_teacher("walker2d")
    assert Problem(offline, own, "halfcheetah").teacher is own  # Versions may differ.
    with pytest.raises(InvalidInputError, match=r"HalfCheetah-v2, but .* scored in Walker2d-v4"):
        Problem(offline, own, "walker2d")
    with pytest.raises(InvalidInputError, match=r"HalfCheetah-v2; the teacher .* of Walker2d-v4"):
        Problem(offline, other)
    unknown = arrays(17, 6)
    with pytest.raises(
        InvalidInputError, match=r"for Walker2d-v4, but .* scored in HalfCheetah-v4"
    ):
        Problem(unknown, other, "halfcheetah")
    assert Problem(unknown, own, "halfcheetah").environment.name == "halfcheetah"


@pytest.mark.parametrize(
    ("recorded", "said"),
    {
        "unknown": (None, ["does not name its task; assumed to be HalfCheetah-v4"]),
        "another version": ("HalfCheetah-v2", ["in HalfCheetah-v2, scored in HalfCheetah-v4"]),
        "the same": ("HalfCheetah-v4", []),
    }.values(),
)
def test_what_is_not_known_of_tasks_is_said(recorded, said, monkeypatch, tmp_path):
    offline, notes = recorded_in(recorded), []
    monkeypatch.setattr(problem, "load_data", lambda *_: (offline, environments.get("halfcheetah")))
    path = str(tmp_path / "t.npz")
    monkeypatch.setattr(
        TeacherSettings, "load", lambda self: teachers.behavior_teacher("halfcheetah")
    )
    settings = from_options(
        RunSettings, {"dataset_path": "x", "env": "halfcheetah", "teacher": path}
    )
    load_problem(settings, SILENT._replace(note=notes.append))
    assert len(notes) == len(said)
    for note, words in zip(notes, said, strict=True):
        assert words in note


def pendulum_of_minari(store, monkeypatch, **scores):
    """A data set that Minari writes into its store: `mine/pendulum-v0`."""
    minari = pytest.importorskip("minari")
    from minari.data_collector import EpisodeBuffer

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(store))
    rng = np.random.default_rng(0)
    buffers = [
        EpisodeBuffer(
            id=number,
            observations=rng.uniform(-1, 1, (21, 3)).astype(np.float32),
            actions=rng.uniform(-2, 2, (20, 1)).astype(np.float32),
            rewards=rng.normal(size=20).tolist(),
            terminations=[False] * 20,
            truncations=[*[False] * 19, True],
        )
        for number in range(2)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # It wants an author, a description and more.
        minari.create_dataset_from_buffers("mine/pendulum-v0", buffers, env="Pendulum-v1", **scores)


def test_returns_are_normalised_by_the_reference_scores_of_the_data(tmp_path, monkeypatch):
    scores = {"ref_min_score": -1500.0, "ref_max_score": -150.0}
    pendulum_of_minari(tmp_path, monkeypatch, **scores)

    def loaded(**options):
        notes = []
        settings = from_options(
            RunSettings, {"dataset": "mine/pendulum-v0", "teacher": "none", **options}
        )
        found = load_problem(settings, SILENT._replace(note=notes.append)).environment
        return found, "\n".join(notes)

    found, notes = loaded()
    assert environments.normalized_score(found, [-1500.0, -150.0]).tolist() == [0.0, 100.0]
    said = "returns -1500 and -150 score 0 and 100, by the metadata of mine/pendulum-v0"
    assert said in notes
    assert environments.to_card(found)["reference_source"] == "mine/pendulum-v0"
    # In Python too, and what is given counts.
    offline = data.load("mine/pendulum-v0")
    assert Problem(offline, "none", "Pendulum-v1").environment == found
    given, notes = loaded(env="Pendulum-v1", reference_returns=(-1000.0, 0.0))
    assert (given.reference_min, given.reference_source) == (-1000.0, None)
    assert "metadata" not in notes
    other, notes = loaded(env="Pendulum-v1", env_kwargs='{"g": 5}')
    assert other.unit == "return"
    assert "metadata" not in notes


def test_returns_without_reference_scores_are_raw(tmp_path, monkeypatch):
    pendulum_of_minari(tmp_path, monkeypatch)
    problem = Problem(data.load("mine/pendulum-v0"), "none", "Pendulum-v1")
    assert problem.environment == environments.get("Pendulum-v1")
    assert problem.environment.unit == "return"


def test_own_data_need_no_teacher_where_their_own_actions_are_cloned():
    bare = Problem(arrays())
    assert bare.teacher is None
    settings = from_options(Distillation, {"objective": "dbc", "pairs": 8})
    prepared = prepare(jax.random.key(0), bare, settings, SILENT)
    assert make_objective(settings, prepared, Clock()).name == "dbc"
    for objective in (None, "pbc", "av_pbc"):
        needs = from_options(Distillation, {"objective": objective, "pairs": 8})
        with pytest.raises(InvalidInputError, match=r"near-expert .* objective=dbc needs none"):
            prepare(jax.random.key(0), bare, needs, SILENT)


def test_an_algorithm_is_a_teacher_that_is_still_to_be_trained(monkeypatch):
    asked = []

    def trained(settings, offline, environment, reporter):
        asked.append((settings.algorithm, settings.minutes, len(offline), environment))
        return toy.teacher()

    monkeypatch.setattr(problem, "_trained", trained)
    given = Problem(arrays(), "iql", teacher_minutes=2.5)
    assert given.trains_teacher
    ready = given.with_teacher(SILENT)
    assert asked == [("iql", 2.5, ROWS - 1, None)]
    assert not ready.trains_teacher
    assert ready.teacher.provenance == toy.teacher().provenance
    assert ready.data is given.data
    assert ready.with_teacher(SILENT) is ready
    assert len(asked) == 1
    assert dataclasses.replace(ready, environment="point-mass").environment is toy.SPEC


@pytest.mark.parametrize(("given", "rows"), [({}, 200_000), ({"data_rows": 0}, None)])
def test_a_first_run_records_few_rows_and_says_so(given, rows, monkeypatch):
    asked, notes = [], []

    def load(name, source, *, rows, action_bounds, note, progress):
        asked.append((name, source, rows))
        return recorded_in("Hopper-v4", arrays(11, 3))

    monkeypatch.setattr(data, "load", load)
    settings = from_options(
        RunSettings, {"dataset": "hopper-medium", "source": "embedded", **given}
    )
    problem.load_data(settings.data, SILENT._replace(note=notes.append))
    assert asked == [("hopper-medium", "embedded", rows)]
    assert [("data_rows=0" in note) for note in notes] == ([True] if rows else [])


def test_rows_are_chosen_for_embedded_data_only():
    settings = from_options(
        RunSettings, {"dataset": "mujoco/hopper/medium-v0", "source": "minari", "data_rows": 5}
    )
    with pytest.raises(InvalidInputError, match="data_rows is for embedded data, not for mujoco"):
        problem.load_data(settings.data, SILENT)


def test_without_a_teacher_the_datas_own_actions_are_cloned(tmp_path, monkeypatch):
    monkeypatch.setenv("OBD_JAX_CACHE", str(tmp_path))
    options = {"dataset": "walker2d-medium", "source": "embedded", "data_rows": 400, "pairs": 8}
    found = load_problem(from_options(RunSettings, {**options, "teacher": "none"}), SILENT)
    assert found.teacher == "none"
    for chosen, name in ((None, "dbc"), ("dbc", "dbc")):
        settings = from_options(Distillation, {"objective": chosen, "pairs": 8})
        prepared = prepare(jax.random.key(0), found, settings, SILENT)
        assert prepared.teacher is None
        assert make_objective(settings, prepared, Clock()).name == name
    for options, words in (
        ({"objective": "pbc"}, "objective=pbc needs a near-expert policy"),
        ({"state_noise": 0.1}, "state_noise needs a teacher's actions"),
    ):
        settings = from_options(Distillation, {"pairs": 8, **options})
        with pytest.raises(InvalidInputError, match=words):
            prepare(jax.random.key(0), found, settings, SILENT)


def test_data_that_are_not_in_the_units_of_the_task_are_refused():
    rng = np.random.default_rng(0)
    pendulum = environments.get("Pendulum-v1")
    fields = rng.normal(size=(ROWS, 3)), rng.uniform(-1, 1, (ROWS, 1)), rng.normal(size=ROWS)
    with pytest.raises(
        InvalidInputError, match=r"Pendulum-v1 lie in \[-2, 2\], but those of arrays"
    ):
        Problem(data.from_arrays(*fields), "none", pendulum)
    for bounds in (pendulum.action_bounds, ActionBounds((-1.0,), (1.0,))):
        assert Problem(data.from_arrays(*fields, action_bounds=bounds), "none", pendulum)
