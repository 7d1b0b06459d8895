"""Scores of policies and of students."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from obd_jax import data, distill, environments, evaluation, students, toy
from obd_jax.teachers import load_calql
from obd_jax.types import Normalizer, Student, SyntheticData

RECIPE = students.MLPRecipe((16, 16), 100, "adam", 0.01, 0.9, "action")


@pytest.fixture(scope="module")
def cloning():
    """Student, pairs labelled by the teacher of the toy task, and the normaliser."""
    offline = toy.offline_data(jax.random.key(0), 1_000)
    normalizer = data.normalizer(offline.observations)
    pool = distill.pbc(offline, normalizer, toy.teacher())
    pairs = distill.choose(jax.random.key(1), distill.uniform, pool, 64)
    return RECIPE.student(2), pairs, normalizer


def score(cloning, key=0, **changes):
    counts = {"students": 3, "episodes": 20, "seed": 0, **changes}
    return evaluation.score_students(jax.random.key(key), *cloning, toy.SPEC, **counts)


def test_the_teacher_of_the_toy_task_scores_100():
    scores = evaluation.score_policies(
        lambda _, observations: toy.teacher().act(observations),
        np.zeros(1),
        toy.SPEC,
        students=1,
        episodes=500,
        seed=0,
    )
    assert scores.shape == (1, 500)
    assert scores.mean() == pytest.approx(100.0, abs=3 * scores.std() / 500**0.5)


def test_students_of_the_teacher_come_close_to_it(cloning):
    scores = score(cloning)
    assert scores.shape == (3, 20)
    assert (scores.mean(axis=1) > 80.0).all()


def test_scores_are_those_of_students_trained_and_rolled_out_one_by_one(cloning):
    student, pairs, normalizer = cloning
    scores = score(cloning)
    keys = jax.random.split(jax.random.key(0), 3)
    episode_keys = jax.random.split(jax.random.key(0), (3, 20))
    step, reset, observe = (
        jax.jit(getattr(toy.SPEC.functional, name)) for name in ("step", "reset", "observe")
    )
    params = jax.jit(student.fit)(keys[1], pairs)
    act = jax.jit(lambda o: student.act(params, (o - normalizer.mean) / normalizer.scale))
    state, total = reset(episode_keys[1, 2]), 0.0
    for _ in range(toy.HORIZON):
        state, reward = step(state, act(observe(state)))
        total += float(reward)
    assert scores[1, 2] == pytest.approx(
        float(environments.normalized_score(toy.SPEC, total)), abs=0.05
    )


def test_scores_depend_on_key_and_seed_alone(cloning):
    scores = score(cloning)
    np.testing.assert_array_equal(scores, score(cloning))
    assert not np.isin(scores, score(cloning, key=1)).any()
    assert not np.isin(scores, score(cloning, seed=1)).any()


def test_students_are_compiled_once(cloning):
    traces = []
    small = students.MLPRecipe((4,), 1, "sgd", 0.1, 0.0, "action").student(2)

    def counted(name):
        def function(*arguments):
            traces.append(name)
            return getattr(small, name)(*arguments)

        return function

    student = Student(counted("fit"), counted("act"))
    for key in range(2):
        score((student, *cloning[1:]), key=key)
    assert traces == ["fit", "act"]


def test_students_see_observations_through_the_normaliser(cloning):
    student, pairs, normalizer = cloning
    stretched = Normalizer(normalizer.mean, 4.0 * normalizer.scale)
    moved = SyntheticData(pairs.observations / 4.0, pairs.actions)
    policy = evaluation.student_policy(student)
    params = jax.jit(student.fit)(jax.random.key(0), moved)
    raw = normalizer.denormalize(pairs.observations)
    np.testing.assert_allclose(
        policy((params, stretched), raw), student.act(params, moved.observations), atol=1e-5
    )
    assert evaluation.student_policy(student) is policy


def test_an_environment_of_other_sizes_is_refused():
    evaluation.check_environment(toy.SPEC, 4, 2)
    evaluation.check_environment(environments.get("hopper"), 11, 3)
    with pytest.raises(ValueError, match="hopper has 11 observations and 3 actions; got 17 and 6"):
        evaluation.check_environment(environments.get("hopper"), 17, 6)
    with pytest.raises(ValueError, match="point-mass has 4 observations and 2 actions; got 4 and"):
        evaluation.check_environment(toy.SPEC, 4, 3)


# Means over 20 episodes of the nine released Cal-QL actors in Gymnasium v4, acting
# deterministically: measured once with other software (PyTorch actors, single environments).
RELEASED = {
    "halfcheetah-medium-replay": 45.8,
    "halfcheetah-medium": 47.5,
    "halfcheetah-medium-expert": 53.1,
    "hopper-medium-replay": 87.8,
    "hopper-medium": 51.6,
    "hopper-medium-expert": 101.6,
    "walker2d-medium-replay": 86.1,
    "walker2d-medium": 78.3,
    "walker2d-medium-expert": 108.2,
}


def score_released(shared_data, name, episodes):
    teacher = load_calql(
        shared_data / "obd_calql" / f"Cal-QL-{name}-v2.pt",
        shared_data / "d4rl_stats.json",
        f"{name}-v2",
    )
    return evaluation.score_policies(
        lambda _, observations: teacher.act(observations),
        jnp.zeros(1),
        environments.parse_dataset(name)[0],
        students=1,
        episodes=episodes,
        seed=0,
    )[0]


def assert_within_three_standard_errors(scores, expected, expected_episodes=20):
    """Both means are uncertain; the spread of the other episodes is taken to be that of ours."""
    error = scores.std(ddof=1) * (1 / len(scores) + 1 / expected_episodes) ** 0.5
    rounding = 0.05
    assert abs(scores.mean() - expected) <= 3 * error + rounding


@pytest.mark.slow
@pytest.mark.parametrize("name", RELEASED)
def test_released_actors_score_as_measured_elsewhere(shared_data, name):
    scores = score_released(shared_data, name, episodes=20)
    print(json.dumps({name: [scores.mean(), scores.std(ddof=1)]}))
    assert_within_three_standard_errors(scores, RELEASED[name])


def test_the_released_hopper_actor_hops(shared_data):
    scores = score_released(shared_data, "hopper-medium", episodes=6)
    assert_within_three_standard_errors(scores, RELEASED["hopper-medium"])
    assert scores.min() > 30.0
