"""Gymnasium's v4 locomotion tasks as Brax environments, on Gymnasium's own MuJoCo models in MJX.

Importing this module imports Brax and MJX, which takes seconds: nothing else of the package does so
before it is needed. What is simulated is the model that Gymnasium loads, with its integrator and
solver, in float32; reward, termination, reset noise and observation are those of the v4 tasks
(`environments.rules`).
"""

import contextlib
import functools
import io
import warnings
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from obd_jax.environments import get, make, rules
from obd_jax.environments.rules import Task, healthy, observe, reward
from obd_jax.extras import require
from obd_jax.types import Array, InvalidInputError, Key

with contextlib.redirect_stdout(io.StringIO()):  # MJX prints that it does without Warp.
    for _module in ("brax", "mujoco.mjx", "flatbuffers"):  # The last one for `traced`.
        require(_module, "mjx", "mjx rollouts")
    from brax import base, envs
    from brax.io import mjcf
    from brax.mjx.base import State as PipelineState
    from mujoco import mjx


# By Brax's names.
TASKS = {f"gymnasium_{name.lower().replace('-', '_')}": task for name, task in rules.TASKS.items()}


def reset_noise(task: Task, key: Key, positions: int, velocities: int) -> tuple[Array, Array]:
    """What is added to the model's first positions [positions] and velocities [velocities]."""
    position_key, velocity_key = jax.random.split(key)
    q = jax.random.uniform(position_key, (positions,), minval=-1.0, maxval=1.0)
    if task.normal_velocities:
        qd = jax.random.normal(velocity_key, (velocities,))
    else:
        qd = jax.random.uniform(velocity_key, (velocities,), minval=-1.0, maxval=1.0)
    return task.reset_scale * q, task.reset_scale * qd


class Locomotion(envs.PipelineEnv):
    """A task as an environment of Brax; episodes have no limit of time, which wrappers add."""

    def __init__(self, task: Task):
        model, frame_skip, first = _load(task.gymnasium_id)
        super().__init__(model, backend="mjx", n_frames=frame_skip)
        self._task, self._first = task, first

    def reset(self, rng: Key) -> envs.State:
        """At the model's first state, with noise."""
        first_q, first_qd = self._first
        noise_q, noise_qd = reset_noise(self._task, rng, len(first_q), len(first_qd))
        state = self.pipeline_init(first_q + noise_q, first_qd + noise_qd)
        zero = jnp.zeros(())
        return envs.State(state, observe(self._task, state.q, state.qd), zero, zero)

    def step(self, state: envs.State, action: Array) -> envs.State:
        """One control step under an action [A], whose controls MuJoCo clips to [-1, 1]."""
        assert state.pipeline_state is not None
        before = state.pipeline_state.q[0]
        after = self.pipeline_step(state.pipeline_state, action)
        velocity = (after.q[0] - before) / self.dt
        return state.replace(
            pipeline_state=after,
            obs=observe(self._task, after.q, after.qd),
            reward=reward(self._task, velocity, action),
            done=1.0 - healthy(self._task, after.q, after.qd).astype(jnp.float32),
        )

    @property
    def observation_size(self) -> int:
        """D, without a reset."""
        return len(self._first[0]) + len(self._first[1]) - 1

    def pipeline_init(
        self, q: Array, qd: Array, act: Any = None, ctrl: Any = None
    ) -> PipelineState:
        """The state at positions q and velocities qd; forces and contacts are still to come.

        A step computes them before it moves anything, so none is needed here.
        """
        data = mjx.make_data(self.sys).replace(qpos=q, qvel=qd)
        for known in (mjx.kinematics, mjx.com_pos, mjx.com_vel):
            data = known(self.sys, data)
        # Brax's own record of contacts stays empty: nothing here reads it.
        fields = {**data.__dict__, "contact": None}
        return PipelineState(q=q, qd=qd, **_links(self.sys, data), **fields)

    def pipeline_step(self, pipeline_state: Any, action: Array) -> PipelineState:
        """As many steps of MuJoCo as Gymnasium takes for one control step."""

        def mujoco_step(state, _):
            return _mujoco_step(self.sys, state), None

        state = pipeline_state.replace(ctrl=action)
        state, _ = jax.lax.scan(mujoco_step, state, length=self._n_frames)
        return state.replace(q=state.qpos, qd=state.qvel, **_links(self.sys, state))


def register() -> None:
    """Make `brax.envs.get_environment` and `brax.envs.create` know the tasks by name."""
    for name, task in TASKS.items():
        envs.register_environment(name, functools.partial(Locomotion, task))


def of_brax(name: str) -> envs.Env:
    """Brax's own task of that name: other bodies, physics and rewards than Gymnasium's.

    Raises:
        InvalidInputError: Brax has none; the message lists those it has.
    """
    known = envs._envs
    if name not in known:
        raise InvalidInputError(f"Brax has no task {name!r}; it has {', '.join(sorted(known))}")
    with _without_advice():
        return envs.get_environment(name)


@contextlib.contextmanager
def _without_advice() -> Iterator[None]:
    """Without Brax's advice, whenever it loads a model, to use something else.

    `docs/rollouts.md` gives it instead; all other warnings pass.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Brax System, piplines", UserWarning)
        yield


@functools.cache
def _load(gymnasium_id):
    """Brax's system, control steps' length in MuJoCo's steps, first positions and velocities."""
    # A model of our own: Brax writes to it.
    with make(get(gymnasium_id)) as made:
        task: Any = made.unwrapped
        with _without_advice():
            system = mjcf.load_model(task.model)
        first = task.init_qpos.astype(np.float32), task.init_qvel.astype(np.float32)
        return system, task.frame_skip, first


# Coefficients of the classical Runge-Kutta method: where each stage leads the next, and weights.
_LEADS, _WEIGHTS = np.array([0.5, 0.5, 1.0, 0.0]), np.array([1.0, 2.0, 2.0, 1.0]) / 6.0


def _mujoco_step(model, state):
    """One step of MuJoCo, as `mjx.step`, which compiles the dynamics four times for Runge-Kutta.

    Here they are one body of a scan: a third of the time to trace and to compile.
    """
    if model.opt.integrator == mujoco.mjtIntegrator.mjINT_EULER:
        return mjx.euler(model, mjx.forward(model, state))
    assert model.opt.integrator == mujoco.mjtIntegrator.mjINT_RK4
    q, qd, dt = state.qpos, state.qvel, model.opt.timestep  # Slides and hinges: q is a vector.

    def stage(carry, coefficients):
        state, velocity, acceleration = carry
        lead, weight = coefficients
        state = mjx.forward(model, state)
        velocity += weight * state.qvel
        acceleration += weight * state.qacc
        ahead = state.replace(qpos=q + lead * dt * state.qvel, qvel=qd + lead * dt * state.qacc)
        return (ahead, velocity, acceleration), None

    zeros = jnp.zeros_like(qd)
    coefficients = (jnp.asarray(_LEADS, qd.dtype), jnp.asarray(_WEIGHTS, qd.dtype))
    (state, velocity, acceleration), _ = jax.lax.scan(stage, (state, zeros, zeros), coefficients)
    return state.replace(
        qpos=q + dt * velocity,
        qvel=qd + dt * acceleration,
        time=state.time + dt,
        qacc_warmstart=state.qacc,
    )


def _links(model, data):
    """Where links are and how they move, as Brax records it."""
    arm = base.Transform.create(pos=data.xpos[1:] - data.subtree_com[model.body_rootid[1:]])
    motion = base.Motion(ang=data.cvel[1:, :3], vel=data.cvel[1:, 3:])
    return {
        "x": base.Transform(pos=data.xpos[1:], rot=data.xquat[1:]),
        "xd": arm.vmap().do(motion),
    }
