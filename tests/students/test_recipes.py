"""Students in plain values: to a card and back."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from obd_jax import evaluation, students
from obd_jax.settings import from_options
from obd_jax.types import InvalidInputError, Normalizer, SyntheticData

RECIPES = {
    "kernel": students.KernelRecipe("nngp", 2, 0.1, 1e-2, 2.0),
    "mlp": students.MLPRecipe((8, 8), 5, "sgd", 0.1, 0.9, "presquash"),
    "random_features": students.RandomFeaturesRecipe((16,), 1e-2),
    "lazy_mlp": students.LazyMLPRecipe(2, 5, 0.1, 0.9, "action"),
}
N, D, A = 6, 3, 2


def make_pairs():
    keys = jax.random.split(jax.random.key(0))
    return SyntheticData(
        jax.random.normal(keys[0], (N, D)), jnp.tanh(jax.random.normal(keys[1], (N, A)))
    )


def test_every_recipe_has_a_case():
    assert list(RECIPES) == list(students.RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_json(name):
    card = json.loads(json.dumps(students.to_card(RECIPES[name])))
    assert card["name"] == name
    assert students.from_card(card) == RECIPES[name]


@pytest.mark.parametrize("name", RECIPES)
def test_every_student_is_fitted_and_acts_for_many_keys(name):
    student = RECIPES[name].student(A)
    params = evaluation.fit_students(jax.random.key(0), student, make_pairs(), 3)
    normalizer = Normalizer(jnp.ones(D), 2.0 * jnp.ones(D))
    policy = evaluation.student_policy(student)
    states = jax.random.normal(jax.random.key(1), (3, 4, D))
    actions = jax.vmap(policy, in_axes=((0, None), 0))((params, normalizer), states)
    assert actions.shape == (3, 4, A)
    one = student.act(jax.tree.map(lambda leaf: leaf[1], params), (states[1] - 1.0) / 2.0)
    np.testing.assert_allclose(actions[1], one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", RECIPES)
def test_an_ensemble_acts_by_the_mean_of_its_members(name):
    student, pairs = RECIPES[name].student(A), make_pairs()
    key, states = jax.random.key(1), jax.random.normal(jax.random.key(2), (4, D))
    ensemble = students.ensemble(student, 3)
    actual = ensemble.act(ensemble.fit(key, pairs), states)
    members = [student.act(student.fit(k, pairs), states) for k in jax.random.split(key, 3)]
    np.testing.assert_allclose(actual, np.mean(members, axis=0), rtol=1e-4, atol=1e-5)
    assert ensemble.deterministic == student.deterministic


def test_an_empty_ensemble_is_refused():
    with pytest.raises(InvalidInputError, match="at least one student, got 0"):
        students.ensemble(RECIPES["kernel"].student(A), 0)


@pytest.mark.parametrize("card", [{"name": "tree"}, {"depth": 3}])
def test_an_unknown_student_is_refused_with_those_known(card):
    name = card.get("name")
    known = "kernel, mlp, random_features, lazy_mlp"
    with pytest.raises(InvalidInputError, match=f"unknown student {name!r}; known: {known}"):
        students.from_card(card)


def test_a_field_that_a_card_lacks_has_its_default():
    older = {"name": "kernel", "kernel": "nngp", "depth": 2, "ensemble": 1}
    assert students.from_card(older) == students.KernelRecipe("nngp", 2)
    assert students.from_card({"name": "mlp", "hidden_sizes": [4]}) == students.MLPRecipe((4,))


REFUSED = {
    "kernel": [
        ({"kernel": "cosine"}, "'cosine'; known: ntk, standard_ntk, nngp"),
        ({"depth": 0}, "depth must be at least 1, got 0"),
        ({"bias_scale": -1.0}, "bias_scale must be finite and not be negative, got -1.0"),
        ({"ridge": float("nan")}, "ridge must be finite and not be negative, got nan"),
        ({"length_scale": 0.0}, "length_scale must be positive, got 0.0"),
    ],
    "mlp": [
        ({"hidden_sizes": [8, 0]}, r"hidden_sizes must be positive, got \(8, 0\)"),
        ({"hidden_sizes": []}, r"hidden_sizes must be positive, got \(\)"),
        ({"steps": 0}, "inner_steps must be at least 1, got 0"),
        ({"optimizer": "lamb"}, "'lamb'; known: sgd"),
        ({"learning_rate": 0.0}, "learning rate must be positive, got 0.0"),
        ({"momentum": 1.0}, r"momentum must be in \[0, 1\), got 1.0"),
        ({"cloning": "nll"}, "'nll'; known: action, presquash"),
    ],
    "random_features": [
        ({"hidden_sizes": [0]}, r"hidden_sizes must be positive, got \(0,\)"),
        ({"ridge": -1.0}, "ridge must be finite and not be negative, got -1.0"),
    ],
    "lazy_mlp": [
        ({"depth": 0}, "depth must be at least 1, got 0"),
        ({"steps": 0}, "inner_steps must be at least 1, got 0"),
        ({"learning_rate": -1.0}, "learning rate must be positive, got -1.0"),
        ({"cloning": "nll"}, "'nll'; known: action, presquash"),
    ],
}


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [(name, values, message) for name, cases in REFUSED.items() for values, message in cases],
)
def test_values_that_no_student_can_have_are_refused(name, values, message):
    with pytest.raises(InvalidInputError, match=message):
        students.from_card({"name": name, **values})


def test_every_recipe_is_an_option_of_student_settings():
    for name, kind in students.RECIPES.items():
        assert from_options(students.StudentSettings, {"student": name}).recipe == kind()
