"""The mean of the last sets."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from obd_jax import distill
from obd_jax.types import InvalidInputError, Student, SyntheticData, Targets

pytestmark = pytest.mark.usefixtures("unoptimised")

N, D, A = 4, 3, 2


def own_pairs():
    """Acts by the sum of all pairs, so that every entry of the set moves."""
    return Student(
        fit=lambda key, pairs: pairs.actions.sum(axis=0) + pairs.observations.sum(),
        act=lambda total, observations: jnp.broadcast_to(total, (len(observations), A)),
    )


def make_synthetic():
    keys = jax.random.split(jax.random.key(1))
    return SyntheticData(jax.random.normal(keys[0], (N, D)), jax.random.normal(keys[1], (N, A)))


def train(distiller, **options):
    targets = Targets(
        jax.random.normal(jax.random.key(0), (50, D)), jnp.full((50, A), 0.5), jnp.ones(50)
    )
    options = {"steps": 12, "batch_size": 8, "steps_per_call": 1, **options}
    return distill.train(jax.random.key(7), distiller, targets, make_synthetic(), **options)


def plain():
    return distill.distiller(own_pairs(), optax.adam(0.05))


@pytest.mark.parametrize("start", [0, 7, 11, 12])
def test_the_set_is_the_mean_of_those_after_the_start(start):
    sets = []
    last, _ = train(plain(), callback=lambda state, _: sets.append(state.synthetic))
    state, history = train(distill.averaged(plain(), start))
    counted = sets[start:] or sets[-1:]
    for found, *each in zip(state.synthetic, *counted, strict=True):
        np.testing.assert_allclose(found, np.mean(each, axis=0), atol=1e-6)
    # The distillation itself is the same.
    jax.tree.map(np.testing.assert_array_equal, state.inner.synthetic, last.synthetic)
    assert int(state.step) == history[-1]["step"] == 12


def test_before_the_start_the_last_set_counts():
    def check(state, record):
        if record["step"] <= 10:
            jax.tree.map(np.testing.assert_array_equal, state.synthetic, state.inner.synthetic)

    train(distill.averaged(plain(), 10), callback=check)


def test_a_resumed_average_is_that_of_an_unbroken_distillation():
    states = []
    whole, _ = train(distill.averaged(plain(), 5), callback=lambda s, _: states.append(s))
    resumed, _ = train(distill.averaged(plain(), 5), state=states[7])
    jax.tree.map(np.testing.assert_array_equal, resumed.synthetic, whole.synthetic)


def test_averages_of_a_population_are_those_of_its_members():
    distiller = distill.averaged(plain(), 1)
    batch = Targets(jnp.ones((8, D)), jnp.full((8, A), 0.5), jnp.ones(8))
    keys = jax.random.split(jax.random.key(3), 2)
    both = jax.vmap(distiller.init, in_axes=(0, None))(keys, make_synthetic())
    alone = distiller.init(keys[1], make_synthetic())
    for _ in range(3):
        both, _ = jax.vmap(distiller.update, in_axes=(0, None))(both, batch)
        alone, _ = distiller.update(alone, batch)
    for found, expected in zip(both.synthetic, alone.synthetic, strict=True):
        np.testing.assert_allclose(found[1], expected, atol=1e-6)


def test_a_negative_start_is_refused():
    with pytest.raises(InvalidInputError, match="start must not be negative, got -1"):
        distill.averaged(plain(), -1)
