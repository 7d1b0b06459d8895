"""One call: arrays and a teacher become a set, a policy, a score and the files of a run."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import obd_jax
from obd_jax import distill, runs, teachers, toy
from obd_jax.cli.flags import read_config
from obd_jax.evaluation import RolloutSettings
from obd_jax.pipeline import (
    RescoreSettings,
    RunSettings,
    preset,
    problem,
    rescore,
    run,
    synthesis,
)
from obd_jax.pipeline.preparation import split_key
from obd_jax.reporting import CONSOLE, SILENT, Progress
from obd_jax.settings import to_options, with_options
from obd_jax.teachers import ALGORITHMS
from obd_jax.types import InvalidInputError
from tests.pipeline.toy_runs import TINY, few_transitions, lines_of

ROLLOUTS = {"students": TINY.scores.students, "episodes": TINY.scores.episodes}
# As short as can be: a student in closed form, one block of steps.
SHORT = {"pairs": 4, "depth": 1, "outer_steps": 2, "batch_size": 32, "temperature": 0.0}


def toy_arrays(transitions=500):
    """What was recorded, as a user has it."""
    recorded = toy.offline_data(jax.random.key(0), transitions)
    return obd_jax.data.from_arrays(
        recorded.observations,
        recorded.actions,
        recorded.rewards,
        recorded.next_observations,
        timeouts=np.arange(1, transitions + 1) % toy.HORIZON == 0,
    )


@pytest.fixture(scope="module")
def data():
    return toy_arrays()


@pytest.fixture(scope="module")
def given(data):
    return obd_jax.Problem(data, toy.teacher(), toy.SPEC)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Folder and results of a run with seed 0."""
    folder = tmp_path_factory.mktemp("ran") / "run"
    with pytest.MonkeyPatch.context() as patch:
        few_transitions(patch)
        return folder, run(with_options(TINY, out=str(folder)), SILENT)


@pytest.fixture(scope="module")
def result(given):
    """The same by the call."""
    return obd_jax.synthesize(jax.random.key(0), given, TINY.distillation, reporter=SILENT)


@pytest.fixture(scope="module")
def short(given):
    """A student in closed form, from a key that is no seed of a run."""
    return obd_jax.synthesize(jax.random.key(7), given, reporter=SILENT, **SHORT)


def test_it_distils_the_set_of_the_run_of_the_same_seed_bit_for_bit(ran, result):
    folder, _ = ran
    expected = obd_jax.load_distilled(folder)
    jax.tree.map(np.testing.assert_array_equal, result.synthetic, expected.synthetic)
    for found, same in zip(result.distilled.normalizer, expected.normalizer, strict=True):
        np.testing.assert_array_equal(found, same)
    assert [record["loss"] for record in result.history] == [
        record["loss"] for record in lines_of(folder / "metrics.jsonl") if "loss" in record
    ]
    card = json.loads(json.dumps(result.distilled.card))
    for name in ("objective", "density", "student"):
        assert card[name] == expected.card[name], name
    assert card["config"].items() <= expected.card["config"].items()
    made, by_run = card["provenance"], expected.card["provenance"]
    for name in ("teacher", "environment", "software"):
        assert made[name] == by_run[name], name
    assert made["data"]["source"] == "arrays"
    assert made["key"] == [0, 0]
    assert {"load", "targets", "density", "distil"} == set(result.seconds)


def test_options_by_name_are_those_of_the_settings(given, result):
    options = to_options(TINY.distillation)
    again = obd_jax.synthesize(jax.random.key(0), given, reporter=SILENT, **options)
    assert again.settings == result.settings == TINY.distillation
    jax.tree.map(np.testing.assert_array_equal, again.synthetic, result.synthetic)


def test_its_students_score_as_those_of_the_run(ran, result):
    row, expected = result.score(**ROLLOUTS, reporter=SILENT), ran[1]["returns"]["synthetic"]
    assert set(row) == set(expected)
    np.testing.assert_allclose(row["per_student"], expected["per_student"], rtol=1e-5)
    np.testing.assert_allclose(row["ci95"], expected["ci95"], rtol=1e-5)


def observed(*shape):
    return np.random.default_rng(0).uniform(-1, 1, (*shape, 4)).astype(np.float32)


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5)])
def test_the_policy_takes_and_gives_numpy_or_jax(result, short, shape):
    states = observed(*shape)
    for each in (result, short):
        actions = each.policy(states)
        assert type(actions) is np.ndarray
        assert (actions.shape, actions.dtype) == ((*shape, 2), np.float32)
        assert np.abs(actions).max() <= 1
        by_jax = each.policy(jnp.asarray(states))
        assert isinstance(by_jax, jax.Array)
        np.testing.assert_array_equal(by_jax, actions)
        np.testing.assert_array_equal(each.policy(states.tolist()), actions)
        np.testing.assert_array_equal(each.policy(states.astype(np.float64)), actions)


def test_the_policy_is_the_student_of_the_set_on_raw_observations(result, short):
    states = observed(6)
    for each in (result, short):
        student = each.prepared.student
        (key,) = jax.random.split(each.prepared.keys["students"], 1)
        params = student.fit(key, each.synthetic)
        seen = each.distilled.normalizer.normalize(states)
        np.testing.assert_allclose(each.policy(states), student.act(params, seen), atol=1e-5)
        assert each.policy is each.policy  # Trained once.
    traced = jax.jit(jax.vmap(short.policy))(jnp.asarray(states))
    np.testing.assert_allclose(traced, short.policy(states), atol=1e-6)


@pytest.mark.parametrize("shape", [(5,), (3, 3), ()])
def test_observations_of_another_size_are_refused(short, shape):
    with pytest.raises(InvalidInputError) as refusal:
        short.policy(np.zeros(shape))
    assert str(refusal.value) == f"observations of shape {shape}; [..., 4] is needed"


def test_save_writes_the_files_of_a_run_and_no_other(ran, short, tmp_path):
    folder = tmp_path / "nested" / "mine"
    row = short.score(**ROLLOUTS, reporter=SILENT)
    assert short.save(folder, {"synthetic": row}) == folder
    names = sorted(file.name for file in folder.iterdir())
    assert names == sorted({file.name for file in ran[0].iterdir()})
    results, expected = (
        json.loads((place / "results.json").read_text()) for place in (folder, ran[0])
    )
    assert set(results) == set(expected) - {"worst_episodes"}  # It scores in its own way.
    assert results["returns"] == {"synthetic": json.loads(json.dumps(row))}
    assert results["unit"] == expected["unit"] == "normalised return"
    assert (results["outer_steps"], results["loss"]) == (2, short.history[-1]["loss"])
    assert lines_of(folder / "metrics.jsonl") == json.loads(json.dumps(short.history))
    assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG")
    page = (folder / "report.html").read_text()
    assert f"{row['mean']:.1f}" in page
    assert "Where the synthetic states lie" in page
    card = json.loads((folder / "card.json").read_text())
    assert card == json.loads(json.dumps(short.distilled.card))
    assert card["config"] == json.loads((folder / "config.json").read_text())


@pytest.fixture(scope="module")
def saved(short, tmp_path_factory):
    return short.save(tmp_path_factory.mktemp("saved") / "mine")


def test_the_set_loads_again_with_the_same_policy(result, short, saved, tmp_path):
    states = observed(6)
    loaded = obd_jax.load_distilled(saved)
    jax.tree.map(np.testing.assert_array_equal, loaded.synthetic, short.synthetic)
    assert loaded.recipe == short.prepared.recipe
    np.testing.assert_array_equal(loaded.policy()(states), short.policy(states))
    # Networks are others from another initialisation.
    loaded = obd_jax.load_distilled(result.save(tmp_path / "mlp") / "distilled.npz")
    same = loaded.policy(split_key(jax.random.key(0))["students"])
    np.testing.assert_array_equal(same(states), result.policy(states))
    assert np.abs(loaded.policy(jax.random.key(1))(states) - result.policy(states)).max() > 1e-4


def test_scoring_the_saved_set_again_repeats_its_score(given, tmp_path):
    # With an initialisation, so that the key matters.
    options = {**to_options(TINY.distillation), "temperature": 0.0, "outer_steps": 2}
    key = jax.random.fold_in(jax.random.key(7), 1)  # That of no seed.
    result = obd_jax.synthesize(key, given, reporter=SILENT, **options)
    path = result.save(tmp_path / "mine") / "distilled.npz"
    rollouts = RolloutSettings(**ROLLOUTS)
    again = rescore(RescoreSettings(str(path), rollouts=rollouts), reporter=SILENT)
    row = result.score(**ROLLOUTS, reporter=SILENT)
    found = again["returns"]["synthetic"]["per_student"]
    np.testing.assert_allclose(found, row["per_student"], rtol=1e-5)
    other = rescore(RescoreSettings(str(path), seed=0, rollouts=rollouts), reporter=SILENT)
    assert np.abs(np.subtract(other["returns"]["synthetic"]["per_student"], found)).max() > 0.01


def test_the_saved_configuration_is_a_base_for_runs(short, saved):
    expected = RunSettings(distillation=with_options(preset("default"), **SHORT))
    assert read_config(str(saved / "config.json"), RunSettings) == expected
    assert short.settings == expected.distillation


def test_a_folder_is_new_or_empty_and_may_start_at_home(short, saved, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine").mkdir()
    assert short.save("~/mine") == tmp_path / "mine"
    with pytest.raises(InvalidInputError, match="already holds a finished run"):
        short.save(saved)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/thesis.tex").touch()
    with pytest.raises(InvalidInputError, match=r"already holds other files, thesis\.tex"):
        short.save(tmp_path / "other")


def test_nothing_is_written_before_it_is_saved(given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runs.RunFolder, "__init__", lambda *_, **__: pytest.fail("opened"))
    found = obd_jax.synthesize(jax.random.key(0), given, reporter=SILENT, **SHORT)
    found.policy(observed(2))
    assert not list(tmp_path.iterdir())


def save_trained(path):
    algorithm = ALGORITHMS["td3_bc"](4, 2, hidden_sizes=(8,))
    state = algorithm.init(jax.random.key(0))
    normalizer = obd_jax.data.normalizer(toy_arrays(100).observations)
    critic = jax.tree.map(lambda leaf: leaf + 0.5, state.critics[0])  # Of positive values.
    teachers.save_teacher(path, state.actor, critic, normalizer, 2, 1.0, {"algorithm": "td3_bc"})


OPTIMUM = toy.teacher()


def in_numpy(observations):
    """The optimum for who cannot trace it."""
    return np.asarray(OPTIMUM.act(np.asarray(observations, np.float32)))


TEACHERS = {
    "record": (OPTIMUM, "closed form", "av_pbc"),
    "jax function": (lambda states: OPTIMUM.act(states), "function", "pbc"),
    "numpy function": (in_numpy, "function", "pbc"),
    "file": ("teacher.npz", "teacher by td3_bc", "av_pbc"),
    "algorithm": ("td3_bc", "teacher by td3_bc", "av_pbc"),
}


@pytest.mark.parametrize("case", TEACHERS)
def test_every_kind_of_teacher_is_distilled(data, tmp_path, monkeypatch, case):
    teacher, source, objective = TEACHERS[case]
    monkeypatch.setenv("OBD_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    trained = []

    def train_in(folder, settings, environment, offline, reporter):
        trained.append((settings.algorithm, environment, len(offline)))
        folder.mkdir(parents=True)
        save_trained(folder / "teacher.npz")
        (folder / "results.json").write_text("{}")

    monkeypatch.setattr(problem, "train_in", train_in)
    if case == "file":
        save_trained(tmp_path / teacher)
        teacher = tmp_path / teacher
    given = obd_jax.Problem(data, teacher)
    options = {**SHORT, "state_noise": 0.1}  # Asks the teacher for more than the data's states.
    result = obd_jax.synthesize(jax.random.key(0), given, reporter=SILENT, **options)
    assert trained == ([("td3_bc", None, len(data))] if case == "algorithm" else [])
    card = result.distilled.card
    assert card["provenance"]["teacher"]["source"] == source
    assert card["provenance"]["teacher"]["sha256"] == result.prepared.teacher.provenance.sha256
    assert "environment" not in card["provenance"]
    assert card["objective"] == objective
    assert np.isfinite(result.history[-1]["loss"])
    assert np.isfinite(result.policy(observed(3))).all()
    if case == "algorithm":  # Which is kept.
        obd_jax.synthesize(jax.random.key(0), given, reporter=SILENT, **options)
        assert len(trained) == 1


def test_a_function_in_numpy_is_as_good_as_one_in_jax(data):
    sets = [
        obd_jax.synthesize(
            jax.random.key(0), obd_jax.Problem(data, TEACHERS[case][0]), reporter=SILENT, **SHORT
        )
        for case in ("jax function", "numpy function")
    ]
    first, second = (each.synthetic for each in sets)
    np.testing.assert_allclose(first.observations, second.observations, atol=1e-4)
    np.testing.assert_allclose(first.actions, second.actions, atol=1e-4)


def test_without_an_environment_a_policy_is_all_there_is_to_score(data, tmp_path):
    given = obd_jax.Problem(data, TEACHERS["jax function"][0])
    result = obd_jax.synthesize(jax.random.key(0), given, reporter=SILENT, **SHORT)
    with pytest.raises(InvalidInputError, match="no environment; give one to score in"):
        result.score(reporter=SILENT)
    with pytest.raises(InvalidInputError, match="hopper has 11 observations"):
        result.score("hopper", reporter=SILENT)
    rows = [
        result.score(each, students=1, episodes=2, reporter=SILENT)
        for each in (toy.SPEC, "point-mass")
    ]
    assert rows[0] == rows[1]
    assert rows[0]["episodes"] == 2
    folder = result.save(tmp_path / "mine", {"synthetic": rows[0]})
    results = json.loads((folder / "results.json").read_text())
    assert results["unit"] == "return"
    assert "environment" not in results["provenance"]


@pytest.fixture
def only_settings(monkeypatch):
    """The settings that a call would distil with."""
    monkeypatch.setattr(synthesis, "_synthesize", lambda _, __, settings, ___: settings)


@pytest.mark.usefixtures("only_settings")
def test_settings_are_the_default_of_the_student_and_options_override_them(given):
    key = jax.random.key(0)
    assert obd_jax.synthesize(key, given) == preset("default")
    mlp = to_options(obd_jax.synthesize(key, given, student="mlp", pairs=np.int64(16)))
    assert (mlp["outer_steps"], mlp["outer_learning_rate"], mlp["pairs"]) == (600, 0.02, 16)
    changed = obd_jax.synthesize(key, given, TINY.distillation, outer_steps=3)
    assert changed == with_options(TINY.distillation, outer_steps=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"outer_step": 3}, "unknown option 'outer_step'; known: objective, "),
        ({"seed": 3}, "unknown option 'seed'"),  # A key is given.
        ({"inner_steps": 3}, "inner_steps is for student=mlp or lazy_mlp, not kernel"),
        (
            {"student": "mlp", "ridge": 1.0},
            "ridge is for student=kernel or random_features or pool, not",
        ),
        ({"student": "tree"}, "unknown student 'tree'; known: kernel, mlp"),
        ({"pairs": 501}, "pairs must be between 1 and the 500 states distilled, got 501"),
        ({"temperature": -1.0}, "temperature must be finite and not be negative"),
        ({"start": "/absent.npz"}, "no distilled set at /absent.npz"),
    ],
)
def test_options_that_cannot_be_used_are_refused(given, options, message):
    with pytest.raises(InvalidInputError, match=message):
        obd_jax.synthesize(jax.random.key(0), given, reporter=SILENT, **options)


def test_it_may_start_from_a_set(given, short, saved):
    options = {**SHORT, "outer_steps": 1, "outer_learning_rate": 1e-9, "start": str(saved)}
    found = obd_jax.synthesize(jax.random.key(1), given, reporter=SILENT, **options)
    for each, same in zip(found.synthetic, short.synthetic, strict=True):
        np.testing.assert_allclose(each, same, rtol=1e-4, atol=1e-5)


def test_divergence_carries_the_last_good_set(given):
    options = {"outer_optimizer": "sgd", "outer_learning_rate": 1e38, "constraint": "free"}
    with pytest.raises(distill.DivergedError, match="at outer step") as error:
        obd_jax.synthesize(jax.random.key(0), given, reporter=SILENT, **SHORT | options)
    assert all(np.isfinite(array).all() for array in error.value.synthetic)


def test_it_says_how_far_it_is_on_stderr(given, capsys):
    at_once = CONSOLE._replace(progress=functools.partial(Progress, first=0.0))
    obd_jax.synthesize(jax.random.key(0), given, reporter=at_once, **SHORT)
    said = capsys.readouterr()
    assert said.out == ""
    assert "distil, step 2/2 | " in said.err
    obd_jax.synthesize(jax.random.key(0), given, reporter=SILENT, **SHORT)
    assert capsys.readouterr() == ("", "")


def test_it_asks_for_the_precision_of_its_settings(given):
    before = jax.config.jax_default_matmul_precision
    for name in ("highest", "default"):
        found = obd_jax.synthesize(
            jax.random.key(0), given, reporter=SILENT, **SHORT, precision=name
        )
        assert found.distilled.card["provenance"]["software"]["matmul_precision"] == name
    assert jax.config.jax_default_matmul_precision == before
