"""Undiscounted returns of policies, K of them in E episodes each."""

import functools
import itertools
from collections.abc import Callable

import jax
import numpy as np

from obd_jax.environments import EnvironmentSpec, make_copies
from obd_jax.numerics import cores
from obd_jax.types import Params, Policy

# Called now and then with the environment steps done and an upper bound of those to come.
Progress = Callable[[int, int], None]
# Called once, at the end, with the steps of every episode, as many numbers as there are returns.
Lengths = Callable[[np.ndarray], object]


@functools.lru_cache(maxsize=16)
def _act_batched(policy: Policy):
    """(params with leading [K], observations [K, E, D]) -> actions [K, E, A], compiled once."""
    return jax.jit(jax.vmap(policy))


def gymnasium_returns(
    policy: Policy,
    params: Params,
    environment: EnvironmentSpec,
    *,
    students: int,
    episodes: int,
    seed: int | np.ndarray,
    progress: Progress | None = None,
    lengths: Lengths | None = None,
) -> np.ndarray:
    """Returns of K policies in a Gymnasium environment.

    All K x E environments advance together, one compiled policy call per step; those that
    have ended are not stepped any more.

    Args:
        policy: (params, raw observations) -> actions.
        params: with a leading axis [K].
        environment: what to make.
        students: K.
        episodes: E.
        seed: environment i is reset with seed + i; or [K, E], the seed of each.
        progress: called every 100 steps, and at the end.
        lengths: called with the steps of every episode, [K, E].

    Returns:
        [K, E] float64 returns in the environment's units.
    """
    compiled, count = _act_batched(policy), students * episodes

    def act(observations):
        batch = observations.reshape(students, episodes, -1)
        return np.asarray(compiled(params, batch)).reshape(count, -1)

    def reshaped(steps):
        if lengths is not None:
            lengths(steps.reshape(students, episodes))

    returns = host_returns(
        act, environment, episodes=count, seed=seed, progress=progress, lengths=reshaped
    )
    return returns.reshape(students, episodes)


def host_returns(
    act: Callable[[np.ndarray], np.ndarray],
    environment: EnvironmentSpec,
    *,
    episodes: int,
    seed: int | np.ndarray,
    progress: Progress | None = None,
    lengths: Lengths | None = None,
) -> np.ndarray:
    """Returns [E] float64 in a Gymnasium environment of any function, which is called as it is.

    The locomotion tasks advance on all cores; returns do not depend on their number.

    Args:
        act: raw observations [E, D] of all episodes -> actions [E, A] in [-1, 1].
        environment: what to make.
        episodes: E.
        seed: environment i is reset with seed + i; or as many as there are episodes, one for each.
        progress: called every 100 steps, and at the end.
        lengths: called with the steps of every episode, [E].
    """
    copies = make_copies(environment, episodes, threads=cores())
    seeds = seed + np.arange(episodes) if np.ndim(seed) == 0 else np.reshape(seed, episodes)
    for i, own in enumerate(seeds.tolist()):
        copies.reset(i, own)
    returns, steps = np.zeros(episodes), np.zeros(episodes, np.int64)
    running, done = np.arange(episodes), 0
    for step in itertools.count(1):
        rewards, terminated, truncated = copies.step(running, act(copies.observations)[running])
        returns[running] += rewards
        steps[running] = step
        done += len(running)
        running = running[~(terminated | truncated)]
        if not len(running):
            break
        if progress is not None and step % 100 == 0:
            progress(done, done + len(running) * (copies.horizon - step))
    copies.close()
    if progress is not None:
        progress(done, done)
    if lengths is not None:
        lengths(steps)
    return returns
