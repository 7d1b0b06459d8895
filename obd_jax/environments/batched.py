"""Copies of a locomotion task in one batch of MuJoCo's, with no Python for each of them."""

import contextlib
import ctypes
from collections.abc import Iterator
from typing import Any, cast

import mujoco
import numpy as np
from mujoco.batch import Batch

from obd_jax.environments.copies import Steps
from obd_jax.environments.registry import make
from obd_jax.environments.rules import TASKS, healthy, observe, reward
from obd_jax.environments.spec import EnvironmentSpec


class Batched:
    """Copies of a task of `rules`.

    Gymnasium itself resets them, one at a time. A batch computes each copy as a loop over single
    simulations does, bit for bit, on any number of threads.
    """

    def __init__(self, environment: EnvironmentSpec, count: int, threads: int):
        assert environment.gymnasium_id is not None
        self._task = TASKS[environment.gymnasium_id]
        self._made = make(environment)
        self._body = cast(Any, self._made.unwrapped)
        assert self._made.spec is not None
        assert self._made.spec.max_episode_steps is not None
        assert self._made.observation_space.shape is not None
        (self.action_size,) = self._made.action_space.shape or ()
        self.horizon = self._made.spec.max_episode_steps
        self.observations = np.zeros((count, *self._made.observation_space.shape), np.float32)
        # A single body is a single island: looking for it is 6% to 8% of a step.
        self._body.model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_ISLAND
        self._substeps, self._seconds = self._body.frame_skip, self._body.dt
        self._batch = Batch(self._body.model, count, threads)
        self._q, self._qd, self._controls = map(self._batch.bind, ("qpos", "qvel", "ctrl"))
        self._generators: list[np.random.Generator | None] = [None] * count
        self._steps = np.zeros(count, int)

    def reset(self, row: int, seed: int | None = None) -> None:
        """As of `Copies`."""
        if seed is None:
            self._body.np_random = self._generators[row]
        self.observations[row], _ = self._made.reset(seed=seed)
        self._generators[row] = self._body.np_random
        state = mujoco.mjtState.mjSTATE_INTEGRATION
        mujoco.mj_getState(self._body.model, self._body.data, self._batch.state[row], state)
        self._steps[row] = 0

    def step(self, rows: np.ndarray, actions: np.ndarray) -> Steps:
        """As of `Copies`.

        Raises:
            ValueError: actions of another shape.
        """
        if actions.shape != (len(rows), self.action_size):
            raise ValueError(f"actions [{len(rows)}, {self.action_size}], found {actions.shape}")
        place = self._q[rows, 0]
        self._controls[rows] = actions
        with _without_clock():
            self._batch.step(rows, self._substeps)
        q, qd = self._q[rows], self._qd[rows]
        self.observations[rows] = observe(self._task, q, qd)
        self._steps[rows] += 1
        return Steps(
            reward(self._task, (q[:, 0] - place) / self._seconds, actions),
            ~healthy(self._task, q, qd),
            self._steps[rows] >= self.horizon,
        )

    def close(self) -> None:
        """As of `Copies`."""
        self._made.close()


@contextlib.contextmanager
def _without_clock() -> Iterator[None]:
    """MuJoCo as it is in C, where nothing asks the time at each stage of a step.

    Its bindings for Python install a clock and cannot take it away, which is 13% to 21% of a step.
    Seen with MuJoCo 4.0.0; https://github.com/google-deepmind/mujoco/issues/2354 asked for it.
    """
    clock, _CLOCK.value = _CLOCK.value, None
    try:
        yield
    finally:
        _CLOCK.value = clock


def _find_clock() -> ctypes.c_void_p:
    """The global pointer to it; one of our own where the library does not show it."""
    library = ctypes.CDLL(mujoco._functions.__file__)
    try:
        return ctypes.c_void_p.in_dll(library, "mjcb_time")
    except ValueError:
        return ctypes.c_void_p()


_CLOCK = _find_clock()
