"""What a distillation starts from."""

import dataclasses

import jax
import numpy as np
import pytest

from obd_jax import artefacts, data
from obd_jax.pipeline import targets
from obd_jax.pipeline.preparation import input_hashes, load_start, make_student, prepare, split_key
from obd_jax.pipeline.problem import Problem, load_problem
from obd_jax.pipeline.settings import Distillation
from obd_jax.reporting import CONSOLE, SILENT, Clock
from obd_jax.settings import with_options
from obd_jax.students import KernelRecipe
from obd_jax.types import InvalidInputError, Normalizer, SyntheticData
from tests.pipeline.toy_runs import TINY, few_transitions, prepared_for


def test_good_episodes_alone_are_distilled_in_the_normalisation_of_all():
    with_best = with_options(TINY, least_return=0.9)
    whole, good = prepared_for(TINY), prepared_for(with_best)
    expected = data.best_episodes(whole.data, 0.9)
    assert 0 < len(expected) < len(whole.data)
    assert whole.kept is whole.data
    np.testing.assert_array_equal(good.data.observations, whole.data.observations)
    np.testing.assert_array_equal(good.kept.observations, expected.observations)
    np.testing.assert_array_equal(good.normalizer.mean, whole.normalizer.mean)
    np.testing.assert_allclose(
        good.own.observations, whole.normalizer.normalize(expected.observations), atol=1e-6
    )
    np.testing.assert_array_equal(good.own.actions, expected.actions)
    cache = {}  # Which both share and neither confuses.
    for prepared, settings in ((whole, TINY), (good, with_best)):
        distillation = settings.distillation
        objective = targets.make_objective(distillation, prepared, Clock(), cache)
        assert len(objective.targets.weights) == len(prepared.kept)
        assert len(objective.unweighted.actions) == len(prepared.kept)
        log_density, _ = targets.log_densities(distillation, prepared, SILENT, cache)
        assert len(log_density) == len(prepared.kept)


def test_without_rewards_no_episode_is_better_than_another(prepared, capsys):
    silent = dataclasses.replace(prepared.data, rewards=np.zeros_like(prepared.data.rewards))
    given = Problem(silent, prepared.teacher, prepared.environment)
    settings = with_options(TINY, least_return=0.33).distillation
    found = prepare(jax.random.key(0), given, settings, CONSOLE)
    assert len(found.kept) == len(silent)
    assert "all rewards are 0, so all episodes are distilled" in capsys.readouterr().err


def test_more_pairs_than_good_states_are_refused(prepared):
    given = Problem(prepared.data, prepared.teacher, prepared.environment)
    good = len(data.best_episodes(prepared.data, 1.0))
    settings = with_options(TINY, least_return=1.0, pairs=good + 1).distillation
    with pytest.raises(InvalidInputError) as refusal:
        prepare(jax.random.key(0), given, settings, SILENT)
    assert str(refusal.value) == (
        f"pairs must be between 1 and the {good} states distilled, got {good + 1}; "
        "least_return=0 distils all"
    )


@pytest.fixture(scope="module")
def prepared():
    with pytest.MonkeyPatch.context() as patch:
        few_transitions(patch)
        return prepared_for(TINY)


def test_no_two_things_that_are_random_have_the_same_key(prepared):
    keys = split_key(jax.random.key(0))
    raw = {tuple(np.asarray(jax.random.key_data(key)).tolist()) for key in keys.values()}
    assert len(raw) == len(keys) == 6
    assert {"density", "initial", "random_real", "distil", "students", "noise"} == set(keys)
    for name, key in prepared.keys.items():
        np.testing.assert_array_equal(jax.random.key_data(key), jax.random.key_data(keys[name]))


def test_a_student_is_made_once_so_that_it_is_compiled_once():
    assert make_student(KernelRecipe(), 2) is make_student(KernelRecipe(), 2)
    assert make_student(KernelRecipe(), 2) is not make_student(KernelRecipe(depth=2), 2)


def test_the_hashes_are_those_of_data_and_teacher(prepared):
    assert input_hashes(prepared) == {
        "SHA-256 of the data": prepared.data.provenance.sha256,
        "SHA-256 of the teacher": prepared.teacher.provenance.sha256,
    }


def save_start(folder, observation_size, action_size):
    pairs = SyntheticData(np.ones((4, observation_size)), np.zeros((4, action_size)))
    normalizer = Normalizer(np.full(observation_size, 3.0), np.full(observation_size, 2.0))
    return artefacts.save(folder, artefacts.DistilledSet(pairs, normalizer, {}))


def test_a_start_is_seen_in_the_normalisation_of_the_data(prepared, tmp_path):
    path = save_start(tmp_path, 4, 2)
    found = load_start(str(path), prepared.data, prepared.normalizer)
    raw = prepared.normalizer.denormalize(found.observations)
    np.testing.assert_allclose(raw, np.full((4, 4), 5.0), rtol=1e-5)  # 1 of 2, from 3.
    np.testing.assert_array_equal(found.actions, 0.0)


def test_a_start_of_another_task_is_refused(prepared, tmp_path):
    path = save_start(tmp_path, 5, 2)
    with pytest.raises(
        InvalidInputError,
        match=f"start {path} has 5 observations and 2 actions; the data has 4 and 2",
    ):
        load_start(str(path), prepared.data, prepared.normalizer)


def test_more_pairs_than_states_distilled_are_refused(monkeypatch):
    few_transitions(monkeypatch)
    problem = load_problem(TINY, SILENT)
    with pytest.raises(InvalidInputError, match="pairs must be between 1 and the 500 states"):
        prepare(None, problem, with_options(Distillation(), pairs=501), SILENT)


def test_pairs_do_not_count_beside_a_start(monkeypatch, tmp_path):
    few_transitions(monkeypatch)
    problem = load_problem(TINY, SILENT)
    path = save_start(tmp_path, 4, 2)
    for start in (path, tmp_path):  # The file, or its folder.
        settings = with_options(Distillation(), pairs=501, start=str(start))
        found = prepare(jax.random.key(0), problem, settings, SILENT)
        assert len(found.start.actions) == 4
