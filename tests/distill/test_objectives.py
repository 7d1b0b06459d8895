"""Objectives against their definitions, written out with numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from obd_jax import data, distill
from obd_jax.types import InvalidInputError, Provenance, Teacher

M, D, A = 300, 3, 2


def make_data():
    generator = np.random.default_rng(0)
    return data.from_arrays(
        generator.normal(2.0, 3.0, (M + 1, D)),
        generator.uniform(-1, 1, (M + 1, A)),
        next_observations=None,
        timeouts=np.zeros(M + 1),
    )


def make_teacher(offset=1.0):
    return Teacher(
        act=lambda s: jnp.tanh(s[..., :A]),
        value=lambda s, a: offset + s[..., 0] + a.sum(axis=-1),
        observation_size=D,
        action_size=A,
        provenance=Provenance("test", "test", ""),
    )


def expected_actions(offline):
    return np.tanh(offline.observations[:, :A])


def test_dbc_matches_the_data_with_equal_weights():
    offline = make_data()
    normalizer = data.normalizer(offline.observations)
    targets = distill.dbc(offline, normalizer)
    np.testing.assert_array_equal(targets.actions, offline.actions)
    np.testing.assert_array_equal(targets.weights, 1.0)
    mean, std = offline.observations.mean(axis=0), offline.observations.std(axis=0)
    np.testing.assert_allclose(
        targets.observations, (offline.observations - mean) / (std + 1e-3), atol=1e-5
    )


def test_pbc_matches_the_teacher_on_raw_observations():
    offline = make_data()
    targets = distill.pbc(offline, data.normalizer(offline.observations), make_teacher())
    np.testing.assert_allclose(targets.actions, expected_actions(offline), atol=1e-6)
    np.testing.assert_array_equal(targets.weights, 1.0)


def test_av_pbc_weighs_by_the_positive_part_of_the_value():
    offline = make_data()
    normalizer = data.normalizer(offline.observations)
    value = 1.0 + offline.observations[:, 0] + expected_actions(offline).sum(axis=1)
    assert (value < 0).any()
    positive = np.maximum(value, 0.0)
    targets = distill.av_pbc(offline, normalizer, make_teacher())
    np.testing.assert_allclose(targets.weights, positive / positive.mean(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(targets.weights.mean(), 1.0, rtol=1e-5)
    scaled = distill.av_pbc(offline, normalizer, make_teacher(), scale=0.02)
    np.testing.assert_allclose(scaled.weights, 0.02 * positive, rtol=1e-4, atol=1e-6)


def test_av_pbc_without_a_positive_value_is_refused():
    offline = make_data()
    with pytest.raises(InvalidInputError, match=r"positive values.*PBC"):
        distill.av_pbc(offline, data.normalizer(offline.observations), make_teacher(-1e3))


def test_teachers_that_are_not_finite_are_refused_with_their_first_row():
    offline = make_data()
    normalizer = data.normalizer(offline.observations)
    threshold = float(np.sort(offline.observations[:, 0])[-1])
    bad_row = int(offline.observations[:, 0].argmax())

    def broken(s):
        return jnp.where(s[..., :1] >= threshold, jnp.nan, jnp.tanh(s[..., :A]))

    with pytest.raises(InvalidInputError, match=rf"actions are not finite on 1 .*row {bad_row}\b"):
        distill.pbc(offline, normalizer, make_teacher()._replace(act=broken))
    with pytest.raises(InvalidInputError, match="values are not finite on 300 of 300"):
        distill.av_pbc(
            offline, normalizer, make_teacher()._replace(value=lambda s, a: s[..., 0] / 0.0)
        )


def test_sdw_multiplies_weights_and_keeps_their_mean():
    offline = make_data()
    targets = distill.av_pbc(
        offline, data.normalizer(offline.observations), make_teacher(), scale=0.02
    )
    density_weights = jnp.linspace(0.0, 2.0, M)
    weighted = distill.sdw(targets, density_weights)
    np.testing.assert_allclose(weighted.weights.mean(), targets.weights.mean(), rtol=1e-5)
    product = np.asarray(targets.weights) * np.asarray(density_weights)
    np.testing.assert_allclose(
        weighted.weights / weighted.weights.sum(), product / product.sum(), rtol=1e-4, atol=1e-8
    )
    np.testing.assert_array_equal(weighted.actions, targets.actions)


def test_equal_density_weights_change_nothing():
    offline = make_data()
    targets = distill.dbc(offline, data.normalizer(offline.observations))
    np.testing.assert_allclose(distill.sdw(targets, jnp.full(M, 3.0)).weights, 1.0, rtol=1e-6)


def test_early_steps_weigh_more():
    rows, ends = 10, [3, 9]
    states = np.random.default_rng(0).normal(size=(rows + 1, D))
    offline = data.from_arrays(
        states[:-1],
        np.zeros((rows, A)),
        next_observations=states[1:],
        terminals=np.isin(np.arange(rows), ends),
    )
    steps = [0, 1, 2, 3, 0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal(offline.episode_steps, steps)
    targets = distill.dbc(offline, data.normalizer(offline.observations))
    targets = targets._replace(weights=jnp.arange(1.0, 11.0))
    weighted = distill.early(targets, offline.episode_steps, 2.0)
    expected = np.arange(1.0, 11.0) / (1.0 + np.array(steps) / 2.0)
    np.testing.assert_allclose(weighted.weights, expected * (5.5 / expected.mean()), rtol=1e-6)
    np.testing.assert_array_equal(weighted.actions, targets.actions)
    with pytest.raises(InvalidInputError, match=r"must be positive, got 0\.0"):
        distill.early(targets, offline.episode_steps, 0.0)


def test_weighted_squared_error_by_hand():
    batch = distill.dbc(make_data(), data.normalizer(make_data().observations))
    batch = batch._replace(
        actions=jnp.array([[0.0, 1.0], [0.5, 0.5]]), weights=jnp.array([1.0, 3.0])
    )
    predicted = jnp.array([[1.0, 1.0], [0.5, -0.5]])
    # Squared errors 1, 0 with weight 1 and 0, 1 with weight 3, over four entries.
    assert float(distill.weighted_squared_error(predicted, batch)) == pytest.approx(1.0)


def test_large_data_is_mapped_in_chunks_of_one_shape():
    generator = np.random.default_rng(0)
    rows = 40_000
    offline = data.from_arrays(
        generator.normal(size=(rows, D)),
        generator.uniform(-1, 1, (rows, A)),
        timeouts=np.zeros(rows),
        note=lambda line: None,
    )
    shapes = []

    def act(s):
        shapes.append(s.shape)
        return jnp.tanh(s[..., :A])

    targets = distill.pbc(
        offline, data.normalizer(offline.observations), make_teacher()._replace(act=act)
    )
    assert shapes == [(16_384, D)]
    np.testing.assert_allclose(targets.actions, expected_actions(offline), atol=1e-6)


def test_unknown_objectives_list_the_known_ones():
    offline = make_data()
    with pytest.raises(InvalidInputError, match=r"'bc'; known: dbc, pbc, av_pbc"):
        distill.make_objective(
            "bc", offline, data.normalizer(offline.observations), make_teacher(), None
        )


def test_state_noise_adds_a_relabelled_copy_around_every_state():
    offline, scale = make_data(), 0.3
    normalizer, teacher = data.normalizer(offline.observations), make_teacher()
    targets = distill.av_pbc(offline, normalizer, teacher)
    both = distill.with_state_noise(jax.random.key(0), targets, normalizer, teacher, scale)
    for doubled, single in zip(both, targets, strict=True):
        np.testing.assert_array_equal(doubled[:M], single)
    np.testing.assert_array_equal(both.weights[M:], targets.weights)
    noise = both.observations[M:] - targets.observations
    np.testing.assert_allclose(np.std(noise), scale, rtol=0.1)
    assert abs(float(np.mean(noise))) < 0.05
    raw = np.asarray(normalizer.denormalize(both.observations[M:]))
    np.testing.assert_allclose(both.actions[M:], np.tanh(raw[:, :A]), atol=1e-5)


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan])
def test_a_scale_of_noise_that_is_not_positive_is_refused(scale):
    offline = make_data()
    normalizer, teacher = data.normalizer(offline.observations), make_teacher()
    targets = distill.pbc(offline, normalizer, teacher)
    with pytest.raises(InvalidInputError, match=f"must be positive, got {scale}"):
        distill.with_state_noise(jax.random.key(0), targets, normalizer, teacher, scale)
