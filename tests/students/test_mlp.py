"""MLP students: trained by behavioural cloning, deterministic, bounded."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from obd_jax import students
from obd_jax.types import InvalidInputError, SyntheticData

N, D, A = 8, 4, 2
RECIPE = students.MLPRecipe((16, 16), 20, "sgd", 0.1, 0.9, "action")
STUDENT = RECIPE.student(A)
fit = jax.jit(STUDENT.fit)


def make_pairs():
    keys = jax.random.split(jax.random.key(0))
    return SyntheticData(
        jax.random.normal(keys[0], (N, D)),
        jax.random.uniform(keys[1], (N, A), minval=-0.9, maxval=0.9),
    )


def test_the_action_error_is_the_mean_over_pairs_and_actions():
    outputs, actions = np.arctanh([[0.5, 0.0], [0.0, 0.0]]), np.array([[0.0, 0.0], [0.0, 0.75]])
    error = students.action_error(jnp.asarray(outputs), jnp.asarray(actions))
    assert error == pytest.approx((0.5**2 + 0.75**2) / 4)


def test_the_presquash_error_compares_before_tanh_and_accepts_any_action():
    outputs, actions = jnp.array([[1.0, 0.0]]), jnp.tanh(jnp.array([[0.0, 2.0]]))
    assert students.presquash_error(outputs, actions) == pytest.approx(1.0 + 4.0, rel=1e-5)
    beyond = students.presquash_error(outputs, jnp.array([[1.0, -7.0]]))
    assert np.isfinite(beyond)


@pytest.mark.parametrize(
    ("optimizer", "cloning"),
    [("sgd", "action"), ("sgd", "presquash"), ("nesterov", "action"), ("adam", "presquash")],
)
def test_a_trained_student_fits_its_pairs(optimizer, cloning):
    rate = 0.02 if optimizer == "adam" else 0.05
    recipe = dataclasses.replace(
        RECIPE, steps=300, optimizer=optimizer, learning_rate=rate, cloning=cloning
    )
    student, pairs = recipe.student(A), make_pairs()
    params = jax.jit(student.fit)(jax.random.key(1), pairs)
    error = jnp.square(student.act(params, pairs.observations) - pairs.actions).mean()
    assert error < 1e-4
    assert jnp.var(pairs.actions) > 0.1


def test_the_same_key_gives_the_same_student_and_another_key_another():
    pairs = make_pairs()
    first, again, other = (fit(jax.random.key(seed), pairs) for seed in (1, 1, 2))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    outputs = [STUDENT.act(params, pairs.observations) for params in (first, other)]
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-3


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_actions_are_bounded_and_act_row_by_row(batch):
    pairs = make_pairs()
    params = fit(jax.random.key(1), pairs)
    observations = 100.0 * jax.random.normal(jax.random.key(2), (*batch, D))
    actions = STUDENT.act(params, observations)
    assert actions.shape == (*batch, A)
    assert np.abs(actions).max() <= 1.0
    rows = [STUDENT.act(params, row) for row in observations.reshape(-1, D)]
    np.testing.assert_allclose(actions.reshape(-1, A), rows, rtol=1e-5, atol=1e-6)


def test_a_centred_student_starts_from_zero_and_fits_its_pairs():
    pairs = make_pairs()
    recipe = dataclasses.replace(RECIPE, hidden_sizes=(32, 32), centred=True, steps=300)
    student = recipe.student(A)
    params = jax.jit(student.fit)(jax.random.key(1), pairs)
    error = jnp.square(student.act(params, pairs.observations) - pairs.actions).mean()
    assert error < 1e-4
    untrained = params._replace(trained=params.initial)
    np.testing.assert_array_equal(student.act(untrained, pairs.observations), 0.0)


def test_centred_students_differ_less_than_others():
    pairs, states = make_pairs(), jax.random.normal(jax.random.key(3), (50, D))

    def variance(centred):
        student = dataclasses.replace(RECIPE, hidden_sizes=(32, 32), centred=centred).student(A)

        def act(key):
            return student.act(student.fit(key, pairs), states)

        return jnp.var(jax.jit(jax.vmap(act))(jax.random.split(jax.random.key(0), 20)), 0).mean()

    assert variance(True) < 0.9 * variance(False)


def test_the_recipe_is_the_student_it_describes():
    pairs = make_pairs()
    direct = students.mlp(
        A, hidden_sizes=(16, 16), steps=20, optimizer=optax.sgd(0.1, momentum=0.9)
    )
    fitted = [f(jax.random.key(1), pairs) for f in (fit, jax.jit(direct.fit))]
    jax.tree.map(np.testing.assert_array_equal, *fitted)
    shapes = sorted(leaf.shape for leaf in jax.tree.leaves(fitted[0]) if leaf.ndim == 2)
    assert shapes == [(D, 16), (16, A), (16, 16)]


def test_many_students_at_once_are_the_students_one_by_one():
    pairs = make_pairs()
    keys = jax.random.split(jax.random.key(1), 3)
    together = jax.jit(jax.vmap(STUDENT.fit, in_axes=(0, None)))(keys, pairs)
    for i, key in enumerate(keys):
        alone = fit(key, pairs)
        member = jax.tree.map(lambda leaf, i=i: leaf[i], together)
        np.testing.assert_allclose(
            STUDENT.act(member, pairs.observations),
            STUDENT.act(alone, pairs.observations),
            atol=1e-5,
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "inner_steps must be at least 1, got 0"),
        ({"steps": -3}, "inner_steps must be at least 1, got -3"),
        ({"hidden_sizes": ()}, r"hidden_sizes must be positive, got \(\)"),
        ({"hidden_sizes": (16, 0)}, r"hidden_sizes must be positive, got \(16, 0\)"),
    ],
)
def test_sizes_and_steps_that_are_not_positive_are_refused(changes, message):
    with pytest.raises(InvalidInputError, match=message):
        dataclasses.replace(RECIPE, **changes)


def test_no_action_is_refused():
    with pytest.raises(InvalidInputError, match="must be positive"):
        RECIPE.student(0)


def test_an_unknown_optimizer_is_refused_with_those_known():
    with pytest.raises(InvalidInputError, match="'lamb'; known: sgd, nesterov, adam"):
        dataclasses.replace(RECIPE, optimizer="lamb")


def test_an_unknown_cloning_loss_is_refused_with_those_known():
    with pytest.raises(InvalidInputError, match="'huber'; known: action, presquash"):
        dataclasses.replace(RECIPE, cloning="huber")


def test_no_gradient_of_the_output_layer_is_taken_across():
    """As [width, actions] it would be many times slower on CPUs; XLA decides, so it is asked."""
    observations = jnp.ones((7, D))

    def objective(synthetic):
        return jnp.sum(STUDENT.act(STUDENT.fit(jax.random.key(0), synthetic), observations))

    compiled = jax.jit(jax.grad(objective)).lower(make_pairs()).compile().as_text()
    over_pairs = re.findall(r"= f32\[(\S+?)\]\S* dot\(.*lhs_contracting_dims=\{0\}", compiled)
    assert f"{A},16" in over_pairs
    assert f"16,{A}" not in over_pairs
