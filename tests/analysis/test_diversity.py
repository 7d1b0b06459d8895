"""Distances between states, against brute force and known geometry."""

import jax.numpy as jnp
import numpy as np
import pytest

from obd_jax.analysis import state_diversity
from obd_jax.data import from_arrays
from obd_jax.types import InvalidInputError, Normalizer


def recorded(observations, episode):
    """Episodes of `episode` rows, each row a transition of its own."""
    rows = len(observations)
    return from_arrays(
        observations,
        np.zeros((rows, 1)),
        next_observations=np.roll(observations, -1, axis=0),
        timeouts=np.arange(rows) % episode == episode - 1,
    )


def units(size, scale=1.0):
    return Normalizer(jnp.zeros(size), jnp.full(size, scale))


def test_it_is_the_distance_to_the_nearest_state_of_another_episode():
    # Two straight lines, two apart; along a line the steps are far smaller.
    along = np.tile(np.arange(800) * 1e-3, 2)
    across = np.repeat([0.0, 2.0], 800)
    data = recorded(np.stack([along, across], axis=1), 800)
    assert state_diversity(data, units(2), states=1600) == pytest.approx(2.0, abs=1e-6)
    assert state_diversity(data, units(2, 4.0), states=1600) == pytest.approx(0.5, abs=1e-6)


def test_it_agrees_with_brute_force():
    observations = np.random.default_rng(0).normal(size=(60, 3))
    data = recorded(observations, 7)
    expected = []
    for i in range(60):
        others = [j for j in range(60) if j // 7 != i // 7]
        expected.append(min(np.linalg.norm(observations[i] - observations[j]) for j in others))
    found = state_diversity(data, units(3), states=1000)
    assert found == pytest.approx(np.mean(expected), rel=1e-6)


def test_broader_data_are_more_diverse_and_a_seed_repeats_the_draw():
    generator = np.random.default_rng(0)
    narrow, broad = (recorded(generator.normal(0, s, (3000, 4)), 10) for s in (0.5, 1.0))
    first = state_diversity(narrow, units(4), states=500, seed=1)
    assert first == state_diversity(narrow, units(4), states=500, seed=1)
    assert state_diversity(broad, units(4), states=500) > 1.7 * first


def test_a_single_episode_is_refused():
    with pytest.raises(InvalidInputError, match="two episodes are needed"):
        state_diversity(recorded(np.zeros((20, 2)), 100), units(2))
