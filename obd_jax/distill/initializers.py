"""Where a synthetic set starts: rows chosen from a pool of real states.

The pool is an objective's `Targets`, so the same choice serves the data's own actions
(pool of `dbc`) and the teacher's (pool of `pbc`).
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from obd_jax.settings import at_least, one_of, option
from obd_jax.types import Array, InvalidInputError, Key, SyntheticData, Targets

# (key, pool [M], N) -> [N] distinct rows of the pool.
Chooser = Callable[[Key, Targets, int], Array]


def uniform(key: Key, pool: Targets, size: int) -> Array:
    """N rows at random, each at most once (the papers' initialisation)."""
    return jax.random.choice(key, pool.weights.shape[0], (size,), replace=False)


def by_weight(key: Key, pool: Targets, size: int) -> Array:
    """N rows at random without replacement, with probability in proportion to the weights.

    Gumbel top-k (Vieira 2014): the N largest of log weight plus Gumbel noise.
    """
    noise = jax.random.gumbel(key, pool.weights.shape)
    return jax.lax.top_k(jnp.log(pool.weights) + noise, size)[1]


def kmeans_plus_plus(key: Key, pool: Targets, size: int) -> Array:
    """N rows spread over the states (Arthur and Vassilvitskii 2007).

    Each is drawn in proportion to its squared distance to the nearest row drawn before.
    """
    first_key, *keys = jax.random.split(key, size)
    observations = pool.observations

    def squared_distances(row: Array) -> Array:
        return jnp.sum(jnp.square(observations - observations[row][None, :]), axis=1)

    def shrink(nearest: Array, row: Array) -> Array:
        # Zero marks the rows taken; the floor keeps duplicates of them possible, if unlikely.
        closer = jnp.maximum(jnp.minimum(nearest, squared_distances(row)), 1e-30)
        return jnp.where(nearest > 0.0, closer, 0.0).at[row].set(0.0)

    def draw(nearest: Array, key: Key) -> tuple[Array, Array]:
        row = jax.random.categorical(key, jnp.log(nearest))
        return shrink(nearest, row), row

    first = jax.random.randint(first_key, (), 0, observations.shape[0])
    if size == 1:
        return first[None]
    nearest = shrink(jnp.full(observations.shape[0], jnp.inf), first)
    _, rows = jax.lax.scan(draw, nearest, jnp.stack(keys))
    return jnp.concatenate([first[None], rows])


def choose(key: Key, chooser: Chooser, pool: Targets, size: int) -> SyntheticData:
    """Synthetic set that starts at the N = `size` rows that `chooser` takes from the pool.

    Raises:
        InvalidInputError: N is not between 1 and M, or the pool's arrays differ in length.
    """
    available, *others = (len(array) for array in (pool.weights, pool.observations, pool.actions))
    if others != [available] * 2:
        raise InvalidInputError(
            f"a pool has as many observations and actions as weights, got {others[0]} and "
            f"{others[1]} for {available}"
        )
    if not 1 <= size <= available:
        raise InvalidInputError(
            f"number of synthetic pairs must be between 1 and the {available} states of the "
            f"data, got {size}"
        )
    rows = chooser(key, pool, size)
    return SyntheticData(pool.observations[rows], pool.actions[rows])


INITIALIZERS: dict[str, Chooser] = {
    "random": uniform,
    "relabelled": uniform,
    "kmeans++": kmeans_plus_plus,
    "density": by_weight,
}


@dataclasses.dataclass(frozen=True)
class StartSettings:
    """Where a synthetic set starts.

    pairs:       N.
    initializer: how real pairs are chosen; all but "relabelled" keep the data's own actions.
    start:       path of a distilled set to start from instead, with as many pairs as it has.
    """

    pairs: int = option(256, "Number of synthetic pairs.")
    initializer: str = option(
        "relabelled",
        f"Initial pairs, rows of the data: one of {', '.join(INITIALIZERS)}. relabelled: random "
        "rows with the teacher's actions; kmeans++: spread over the states; density: drawn by "
        "density weight.",
    )
    start: str | None = option(
        None, "Distilled set to start from, in place of pairs from the data; it sets their number."
    )

    def __post_init__(self) -> None:
        at_least(1, pairs=self.pairs)
        one_of("initializer", self.initializer, INITIALIZERS)
