"""What is said of a critic, on critics whose quality is known."""

import jax.numpy as jnp
import numpy as np
import pytest

from obd_jax import environments, recorded
from obd_jax.data import from_arrays
from obd_jax.teachers import q_calibration
from obd_jax.types import InvalidInputError, Provenance, Teacher

HOPPER = environments.get("hopper")


def standing_still(value):
    return Teacher(
        lambda o: jnp.zeros((*o.shape[:-1], 3)), value, 11, 3, Provenance("test", "still", "")
    )


@pytest.fixture(scope="module")
def offline():
    return from_arrays(**recorded.roll_out(None, HOPPER, 2000, seed=0))


def measured(offline, value):
    return q_calibration(standing_still(value), HOPPER, offline, steps=2000, states=500)


def test_a_critic_that_prefers_the_teachers_action(offline):
    found = measured(offline, lambda o, a: 5.0 - jnp.sum(jnp.square(a), axis=-1))
    assert (found["above_random"], found["best_of_random"]) == (1.0, 1.0)
    assert found["predicted"] == pytest.approx(5.0)
    # Every step of hopper earns about 1 while it stands, and it falls within some 60 steps.
    assert 10 < found["earned"] < 100
    assert found["ratio"] == pytest.approx(5.0 / found["earned"])
    assert found["rank_correlation"] is None
    assert found["effective_sample_fraction"] == pytest.approx(1.0)
    np.testing.assert_allclose(found["weights"], 1.0)
    assert found["negative"] == 0.0


def test_a_critic_that_prefers_others(offline):
    found = measured(offline, lambda o, a: -1.0 + jnp.sum(jnp.square(a), axis=-1))
    assert (found["above_random"], found["best_of_random"]) == (0.0, 0.0)
    assert (found["weights"], found["effective_sample_fraction"]) == (None, None)
    assert found["negative"] == 1.0


def test_ranks_follow_the_return(offline):
    # A fall comes nearer as the height sinks, and with it the return.
    found = measured(offline, lambda o, a: 10 * o[..., 0])
    assert found["rank_correlation"] > 0.5
    upside_down = measured(offline, lambda o, a: -10 * o[..., 0])
    assert upside_down["rank_correlation"] == pytest.approx(-found["rank_correlation"])


def test_weights_are_what_av_pbc_would_give(offline):
    found = measured(offline, lambda o, a: o[..., 0] - 1.0)
    rng = np.random.default_rng(0)
    drawn = rng.choice(len(offline), 500, replace=False)
    weights = np.maximum(offline.observations[drawn, 0] - 1.0, 0)
    expected = weights.sum() ** 2 / (500 * np.square(weights).sum())
    assert found["effective_sample_fraction"] == pytest.approx(expected, rel=1e-4)


def test_a_teacher_without_a_critic_is_refused(offline):
    with pytest.raises(InvalidInputError, match="the teacher still has no critic"):
        measured(offline, None)


def test_where_every_episode_is_cut_soon_nothing_is_compared():
    """Pendulum's last 200 steps: what a state earns beyond them is not known."""
    pendulum = environments.get("Pendulum-v1")
    rows = from_arrays(**recorded.roll_out(None, pendulum, 400, seed=0))
    teacher = Teacher(
        lambda o: jnp.zeros((*o.shape[:-1], 1)),
        lambda o, a: -jnp.sum(jnp.square(a), axis=-1) - 1.0,
        *(3, 1),
        Provenance("test", "still", ""),
    )
    found = q_calibration(teacher, pendulum, rows, steps=1600, states=100)
    assert found["predicted"] is found["earned"] is found["ratio"] is None
    assert found["rank_correlation"] is None
    assert found["above_random"] > 0.99
