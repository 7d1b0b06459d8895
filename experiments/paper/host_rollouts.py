"""Returns of policies that are plain functions of NumPy arrays, K of them in E episodes each."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from obd_jax import environments
from obd_jax.environments import Copies, EnvironmentSpec, FunctionalEnvironment
from obd_jax.environments.copies import Steps
from obd_jax.evaluation.rollouts import Progress
from obd_jax.numerics import cores

# Raw observations [B, D] float32 -> actions [B, A].
Act = Callable[[np.ndarray], np.ndarray]


def _gymnasium(environment: EnvironmentSpec, count: int, seed: int, threads: int) -> Copies:
    """Environments of Gymnasium side by side; environment i is reset with seed + i."""
    copies = environments.make_copies(environment, count, threads)
    for i in range(count):
        copies.reset(i, seed + i)
    return copies


@functools.lru_cache(maxsize=4)
def _compiled(task: FunctionalEnvironment):
    return tuple(jax.jit(jax.vmap(f)) for f in (task.reset, task.step, task.observe))


class _Functional:
    """Environments that are pure functions, side by side; they end together."""

    def __init__(self, environment: EnvironmentSpec, count: int, seed: int, threads: int):
        del threads  # XLA chooses.
        assert environment.functional is not None
        reset, self._step, self._observe = _compiled(environment.functional)
        self.horizon = environment.functional.horizon
        self._state = reset(jax.random.split(jax.random.key(seed), count))
        self._left = self.horizon
        self.observations = np.asarray(self._observe(self._state))

    def step(self, rows: np.ndarray, actions: np.ndarray) -> Steps:
        """Step all of them."""
        self._state, rewards = self._step(self._state, jnp.asarray(actions, jnp.float32))
        self.observations = np.asarray(self._observe(self._state))
        self._left -= 1
        terminated, truncated = np.zeros(len(rows), bool), np.full(len(rows), self._left == 0)
        return Steps(np.asarray(rewards, np.float64), terminated, truncated)

    def close(self) -> None:
        """Nothing is open."""


def host_scores(
    policies: Sequence[Act],
    environment: EnvironmentSpec,
    *,
    episodes: int,
    seed: int,
    progress: Progress | None = None,
    threads: int | None = None,
) -> np.ndarray:
    """Normalised returns [K, E] of policies that no compiled program can hold.

    All K x E environments advance together. A policy is called once a step, with those of its
    episodes that have not ended; its actions are clipped to [-1, 1]. Episodes start as those of
    `evaluation.score_policies` with the same seed do.

    Args:
        policies: K functions of raw observations.
        environment: where they act: Gymnasium's task, or one of pure functions.
        episodes: E.
        seed: of the episodes.
        progress: called every 100 steps.
        threads: of the simulator; None: one for every core.

    Raises:
        FloatingPointError: an action is not a finite number.
    """
    count = len(policies) * episodes
    kind = _gymnasium if environment.functional is None else _Functional
    batch = kind(environment, count, seed, threads or cores())
    owners = np.repeat(np.arange(len(policies)), episodes)
    returns, rows, steps, done = np.zeros(count), np.arange(count), 0, 0
    while len(rows):
        actions = np.concatenate(
            [
                np.asarray(policies[k](batch.observations[own])).reshape(len(own), -1)
                for k in np.unique(owners[rows])
                for own in [rows[owners[rows] == k]]
            ]
        )
        if not np.isfinite(actions).all():
            raise FloatingPointError("an action is not finite")
        rewards, terminated, truncated = batch.step(rows, np.clip(actions, -1.0, 1.0))
        returns[rows] += rewards
        steps, done = steps + 1, done + len(rows)
        rows = rows[~(terminated | truncated)]
        if progress is not None and steps % 100 == 0:
            progress(done, done + len(rows) * (batch.horizon - steps))
    batch.close()
    if progress is not None:
        progress(done, done)
    return environments.normalized_score(environment, returns.reshape(len(policies), episodes))
