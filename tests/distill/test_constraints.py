"""Constraints on synthetic actions: coordinates, and what a step may do."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from obd_jax import distill, students
from obd_jax.distill.pool_member import PoolMember, kind_of
from obd_jax.types import InvalidInputError, Student, SyntheticData, Targets

BOUNDS = {"free": np.inf, "clipped": 1.0, "squashed": 0.995}


def make_set(scale):
    actions = scale * jnp.linspace(-1.0, 1.0, 12).reshape(6, 2)
    return SyntheticData(jnp.arange(18.0).reshape(6, 3), actions)


@pytest.mark.parametrize("name", distill.CONSTRAINTS)
def test_sets_that_are_allowed_survive_the_round_trip(name):
    constraint = distill.make_constraint(name)
    synthetic = make_set(0.99)
    again = constraint.decode(constraint.encode(synthetic))
    np.testing.assert_allclose(again.actions, synthetic.actions, rtol=1e-5)
    np.testing.assert_array_equal(again.observations, synthetic.observations)


@pytest.mark.parametrize("name", distill.CONSTRAINTS)
def test_the_nearest_allowed_set_is_encoded(name):
    constraint = distill.make_constraint(name)
    synthetic = make_set(4.0)
    encoded = constraint.decode(constraint.encode(synthetic))
    expected = np.clip(synthetic.actions, -BOUNDS[name], BOUNDS[name])
    np.testing.assert_allclose(encoded.actions, expected, rtol=1e-5)


@pytest.mark.parametrize("name", distill.CONSTRAINTS)
def test_projected_coordinates_decode_to_allowed_actions(name):
    constraint = distill.make_constraint(name)
    moved = constraint.encode(make_set(0.5))
    moved = moved._replace(actions=moved.actions + 100.0)
    actions = constraint.decode(constraint.project(moved)).actions
    assert np.isfinite(actions).all()
    assert np.abs(actions).max() <= BOUNDS[name] * (1 + 1e-6)


def test_steps_in_squashed_coordinates_do_not_stall_at_the_limit():
    constraint = distill.squashed()
    coordinates = constraint.encode(make_set(4.0))
    gradient = jax.grad(lambda c: constraint.decode(c).actions.sum())(coordinates)
    assert gradient.actions.min() > 0.005


@pytest.mark.parametrize("name", distill.CONSTRAINTS)
def test_a_constraint_can_be_made_in_a_function_that_is_traced(name):
    def projected(actions):
        constraint = distill.make_constraint(name)
        coordinates = constraint.project(constraint.encode(SyntheticData(actions, actions)))
        return constraint.decode(coordinates).actions

    actions = 1.5 * jnp.linspace(-1.0, 1.0, 12).reshape(3, 2, 2)
    traced = jax.jit(jax.vmap(projected))(actions)
    np.testing.assert_allclose(traced, jax.vmap(projected)(actions), rtol=1e-6)


def pool_regression(synthetic):
    """Of the features of an untrained network."""
    kind = kind_of(PoolMember(depth=1, width=8), synthetic)
    return kind.regression(kind.start(jax.random.key(0), synthetic)[0])


# Students that regress on what tanh turns into the actions.
BEFORE_THE_SQUASH = {
    "kernel": lambda _: students.KernelRecipe(depth=2).student(1),
    "random_features": lambda _: students.RandomFeaturesRecipe((16,)).student(1),
    "lazy_mlp": lambda _: students.LazyMLPRecipe(depth=1, steps=20).student(1),
    "mlp": lambda _: students.MLPRecipe((8,), 20, cloning="presquash").student(1),
    "pool": pool_regression,
}


@pytest.mark.parametrize("student", BEFORE_THE_SQUASH)
@pytest.mark.parametrize("name", distill.CONSTRAINTS)
@pytest.mark.parametrize("start", [0.9995, -1.0])
def test_saturated_actions_can_move(name, student, start):
    observations = jax.random.normal(jax.random.key(0), (8, 3))
    synthetic = SyntheticData(observations, jnp.full((8, 1), start))
    made: Student = BEFORE_THE_SQUASH[student](synthetic)
    constraint = distill.make_constraint(name)
    distiller = distill.distiller(made, optax.adam(0.01), constraint=constraint)
    state = distiller.init(jax.random.key(0), synthetic)
    batch = Targets(observations, jnp.zeros((8, 1)), jnp.ones(8))
    moved, metrics = jax.jit(distiller.update)(state, batch)
    assert metrics["finite"]
    inwards = (state.synthetic.actions - moved.synthetic.actions) * np.sign(start)
    assert (inwards > 0).mean() > 0.5  # Without a slope none would; some are pushed outwards.


def test_unknown_constraints_list_the_known_ones():
    with pytest.raises(InvalidInputError, match="'box'; known: free, clipped, squashed"):
        distill.make_constraint("box")
