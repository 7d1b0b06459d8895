"""Starting points are rows of the pool, chosen as their names say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from obd_jax import distill
from obd_jax.types import InvalidInputError, Targets

CHOOSERS = {
    "uniform": distill.uniform,
    "by_weight": distill.by_weight,
    "kmeans++": distill.kmeans_plus_plus,
}
M, D, A = 200, 3, 2


def make_pool(observations=None):
    keys = jax.random.split(jax.random.key(0))
    if observations is None:
        observations = jax.random.normal(keys[0], (M, D))
    count = observations.shape[0]
    return Targets(observations, jax.random.uniform(keys[1], (count, A)), jnp.ones(count))


@pytest.mark.parametrize("name", CHOOSERS)
@pytest.mark.parametrize("size", [1, 20, M])
def test_rows_are_distinct_rows_of_the_pool(name, size):
    rows = np.asarray(
        jax.jit(CHOOSERS[name], static_argnums=2)(jax.random.key(1), make_pool(), size)
    )
    assert rows.shape == (size,)
    assert len(set(rows.tolist())) == size
    assert rows.min() >= 0
    assert rows.max() < M


@pytest.mark.parametrize("name", CHOOSERS)
def test_pairs_stay_together_and_keys_matter(name):
    pool = make_pool()
    first = distill.choose(jax.random.key(1), CHOOSERS[name], pool, 10)
    again = distill.choose(jax.random.key(1), CHOOSERS[name], pool, 10)
    other = distill.choose(jax.random.key(2), CHOOSERS[name], pool, 10)
    np.testing.assert_array_equal(first.observations, again.observations)
    assert not np.array_equal(first.observations, other.observations)
    lookup = {tuple(np.asarray(s)): np.asarray(a) for s, a in zip(*pool[:2], strict=True)}
    for state, action in zip(*first, strict=True):
        np.testing.assert_array_equal(lookup[tuple(np.asarray(state))], action)


def test_kmeans_plus_plus_finds_every_one_of_well_separated_clusters():
    centres = 100.0 * jnp.arange(8.0)[:, None] * jnp.ones((1, D))
    noise = 0.1 * jax.random.normal(jax.random.key(3), (8, 50, D))
    pool = make_pool((centres[:, None] + noise).reshape(-1, D))
    rows = np.asarray(distill.kmeans_plus_plus(jax.random.key(4), pool, 8))
    assert sorted(rows // 50) == list(range(8))
    uniform = np.asarray(distill.uniform(jax.random.key(4), pool, 8))
    assert len(set(uniform // 50)) < 8


@pytest.mark.parametrize("name", CHOOSERS)
def test_duplicated_states_are_no_obstacle(name):
    pool = make_pool(jnp.ones((30, D)))
    rows = np.asarray(CHOOSERS[name](jax.random.key(5), pool, 10))
    assert len(set(rows.tolist())) == 10


def test_by_weight_draws_in_proportion_and_never_a_zero():
    weights = jnp.array([0.0, 1.0, 2.0, 3.0])
    pool = Targets(jnp.zeros((4, D)), jnp.zeros((4, A)), weights)
    keys = jax.random.split(jax.random.key(6), 6000)
    rows = jax.vmap(lambda key: distill.by_weight(key, pool, 1)[0])(keys)
    shares = np.bincount(np.asarray(rows), minlength=4) / 6000
    # Four standard errors of a share of one half.
    np.testing.assert_allclose(shares, [0.0, 1 / 6, 2 / 6, 3 / 6], atol=4 * 0.5 / 6000**0.5)
    assert shares[0] == 0.0


@pytest.mark.parametrize("size", [0, M + 1])
def test_a_size_that_the_pool_lacks_is_refused(size):
    with pytest.raises(InvalidInputError, match=rf"between 1 and the {M} states.*got {size}"):
        distill.choose(jax.random.key(0), distill.uniform, make_pool(), size)


@pytest.mark.parametrize("name", ["observations", "actions", "weights"])
def test_a_pool_of_unequal_lengths_is_refused(name):
    pool = make_pool()
    pool = pool._replace(**{name: getattr(pool, name)[: M // 2]})
    with pytest.raises(InvalidInputError, match="as many observations and actions as weights"):
        distill.choose(jax.random.key(0), distill.uniform, pool, 3)
