"""States in a plane."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from obd_jax.analysis import principal_plane


@pytest.mark.parametrize("size", [2, 3, 17])
def test_the_plane_is_that_of_scikit_learn(size):
    rng = np.random.default_rng(0)
    states = rng.normal(size=(200, size)) * np.arange(1, size + 1) + 5.0
    plane, other = principal_plane(states), PCA(2).fit(states)
    np.testing.assert_allclose(plane.explained, other.explained_variance_ratio_)
    signs = np.sign(np.sum(plane.axes * other.components_, axis=1))
    np.testing.assert_allclose(plane.project(states), other.transform(states) * signs)


def test_its_axes_do_not_turn_round_with_the_states():
    states = np.random.default_rng(0).normal(size=(50, 4)) * [4, 3, 2, 1]
    np.testing.assert_allclose(principal_plane(states).axes, principal_plane(-states).axes)


def test_one_number_of_a_state_is_the_first_axis():
    plane = principal_plane(np.array([[1.0], [2.0], [6.0]]))
    np.testing.assert_allclose(plane.project(np.array([[4.0]])), [[1.0, 0.0]])
    np.testing.assert_allclose(plane.explained, [1.0, 0.0])


def test_states_that_are_all_alike_are_one_point():
    plane = principal_plane(np.ones((5, 3)))
    assert not plane.project(np.ones((5, 3))).any()
    assert not plane.explained.any()
