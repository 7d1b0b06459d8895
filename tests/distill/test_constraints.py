"""Constraints on synthetic actions: coordinates, and what a step may do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from obd_jax import distill
from obd_jax.types import InvalidInputError, SyntheticData

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


def test_unknown_constraints_list_the_known_ones():
    with pytest.raises(InvalidInputError, match="'box'; known: free, clipped, squashed"):
        distill.make_constraint("box")
