"""Copies of a task of Gymnasium's that advance together."""

import importlib.util
from typing import NamedTuple, Protocol

import numpy as np

from obd_jax.environments.registry import make
from obd_jax.environments.rules import TASKS
from obd_jax.environments.spec import EnvironmentSpec


class Steps(NamedTuple):
    """What a step of n copies gives.

    rewards:    [n] float64.
    terminated: [n] bool, the task has ended.
    truncated:  [n] bool, time has run out; both may be.
    """

    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray


class Copies(Protocol):
    """N copies of a task.

    observations: [N, D] float32, the last one of each, in raw units.
    action_size:  A.
    horizon:      steps that an episode can have; 0: no limit.
    """

    observations: np.ndarray
    action_size: int
    horizon: int

    def reset(self, row: int, seed: int | None = None) -> None:
        """Begin an episode of one copy; without a seed, its random numbers go on."""

    def step(self, rows: np.ndarray, actions: np.ndarray) -> Steps:
        """Advance the copies `rows` [n], ascending, by actions [n, A] in [-1, 1]."""

    def close(self) -> None:
        """Close what is open."""


def make_copies(environment: EnvironmentSpec, count: int, threads: int = 1) -> Copies:
    """Copies of a task, each bit for bit as `make` has it, whatever simulates them.

    Args:
        environment: a Gymnasium task.
        count: N.
        threads: at most; one, unless the task can be stepped in a batch.

    Raises:
        InvalidInputError: Gymnasium does not have it, or cannot make it.
    """
    as_gymnasium_has_it = not environment.make_kwargs and environment.action_bounds is None
    # Older versions of MuJoCo have no batches.
    if (
        environment.gymnasium_id in TASKS
        and as_gymnasium_has_it
        and importlib.util.find_spec("mujoco.batch") is not None
    ):
        from obd_jax.environments.batched import Batched  # It imports MuJoCo.

        return Batched(environment, count, threads)
    return OneByOne(environment, count)


class OneByOne:
    """Copies of any task, stepped one after another by Gymnasium."""

    def __init__(self, environment: EnvironmentSpec, count: int):
        self._made = [make(environment) for _ in range(count)]
        first = self._made[0]
        assert first.spec is not None
        assert first.observation_space.shape is not None
        (self.action_size,) = first.action_space.shape or ()
        self.horizon = first.spec.max_episode_steps or 0
        self.observations = np.zeros((count, *first.observation_space.shape), np.float32)

    def reset(self, row: int, seed: int | None = None) -> None:
        """As of `Copies`."""
        self.observations[row], _ = self._made[row].reset(seed=seed)

    def step(self, rows: np.ndarray, actions: np.ndarray) -> Steps:
        """As of `Copies`."""
        steps = Steps(np.zeros(len(rows)), *np.zeros((2, len(rows)), bool))
        for i, row in enumerate(rows):
            self.observations[row], reward, terminated, truncated, _ = self._made[row].step(
                actions[i]
            )
            steps.rewards[i] = float(reward)
            steps.terminated[i], steps.truncated[i] = terminated, truncated
        return steps

    def close(self) -> None:
        """As of `Copies`."""
        for made in self._made:
            made.close()
