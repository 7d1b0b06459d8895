"""Returns of policies in environments that are themselves pure JAX functions."""

import functools

import jax
import numpy as np

from obd_jax.environments import FunctionalEnvironment
from obd_jax.evaluation.rollouts import Lengths
from obd_jax.types import Params, Policy


@functools.lru_cache(maxsize=16)
def _rollouts(policy: Policy, environment: FunctionalEnvironment):
    """(params with leading [K], keys [K, E]) -> returns [K, E], one compiled program."""

    def episode(params, key):
        def step(state, _):
            return environment.step(state, policy(params, environment.observe(state)))

        _, rewards = jax.lax.scan(step, environment.reset(key), length=environment.horizon)
        return rewards.sum()

    return jax.jit(jax.vmap(jax.vmap(episode, in_axes=(None, 0))))


def functional_returns(
    policy: Policy,
    params: Params,
    environment: FunctionalEnvironment,
    *,
    students: int,
    episodes: int,
    seed: int,
    lengths: Lengths | None = None,
) -> np.ndarray:
    """Undiscounted returns [K, E] float64 of K policies, params with a leading axis [K].

    Every student meets its own initial states, drawn from `seed`. `lengths` is called with the
    steps of every episode, [K, E], which are those of the horizon.
    """
    if lengths is not None:
        lengths(np.full((students, episodes), environment.horizon))
    keys = jax.random.split(jax.random.key(seed), (students, episodes))
    return np.asarray(_rollouts(policy, environment)(params, keys), np.float64)
