"""Returns of policies in environments of Brax: the v4 tasks in MJX, or Brax's own tasks."""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from obd_jax.environments import MAX_EPISODE_STEPS, EnvironmentSpec
from obd_jax.evaluation.rollouts import Progress
from obd_jax.types import Array, InvalidInputError, Params, Policy

# Steps between two looks at whether all episodes have ended, and environments at once.
BLOCK, AT_ONCE = 100, 4096


def brax_environment(environment: EnvironmentSpec) -> Any:
    """The task as an environment of Brax, made once.

    Raises:
        InvalidInputError: Brax or MJX is not installed.
    """
    return _made(environment.name, environment.simulator)


def mjx_returns(
    policy: Policy,
    params: Params,
    environment: EnvironmentSpec,
    *,
    students: int,
    episodes: int,
    seed: int,
    progress: Progress | None = None,
    at_once: int = AT_ONCE,
) -> np.ndarray:
    """Returns of K policies in an environment of Brax, rolled out where JAX computes.

    All students and episodes advance together in one compiled program of BLOCK steps, called until
    every episode has ended. One that has ended keeps its last state; it costs as much as before.

    Args:
        policy: (params, raw observations) -> actions.
        params: with a leading axis [K].
        environment: simulated by mjx or brax.
        students: K.
        episodes: E.
        seed: of the first states.
        progress: called after every block.
        at_once: environments that advance together at most, which bounds the memory.

    Returns:
        [K, E] float64 returns in the environment's units, whatever `at_once` is.

    Raises:
        InvalidInputError: Brax or MJX is not installed.
    """
    start, advance = programs(policy, environment.name, environment.simulator)
    keys = jax.random.split(jax.random.key(seed), (students, episodes))
    student_parts = _parts(students, at_once)
    episode_parts = _parts(episodes, max(1, at_once // student_parts.shape[1]))
    returns = np.zeros((students, episodes))
    done, left = 0, student_parts.size * episode_parts.size * MAX_EPISODE_STEPS
    for some_students in student_parts:
        their_params = jax.tree.map(lambda x, part=some_students: x[part], params)
        for some_episodes in episode_parts:
            cells = np.ix_(some_students, some_episodes)
            members = start(keys[cells])
            found, steps = np.zeros(members.total.shape), 0
            while steps < MAX_EPISODE_STEPS:
                members = advance(their_params, members, BLOCK)
                steps += BLOCK
                # Summed up here, in float64.
                found += members.total
                done += int(members.steps.sum())
                running = int(members.running.sum())
                if not running:
                    break
                if progress is not None:
                    here = running * (MAX_EPISODE_STEPS - steps)
                    progress(done, done + here + left - found.size * MAX_EPISODE_STEPS)
            left -= found.size * MAX_EPISODE_STEPS
            returns[cells] = found
    return returns


class Member(NamedTuple):
    """An episode.

    state:   Brax's.
    running: whether it goes on, [] bool.
    total:   reward of this block, [] float32.
    steps:   of this block, [] int32.
    """

    state: Any
    running: Array
    total: Array
    steps: Array


def _parts(count: int, most: int) -> np.ndarray:
    """Indices [parts, size <= most], all equal in size: the last part may repeat the last index."""
    size = math.ceil(count / math.ceil(count / most))
    indices = np.arange(math.ceil(count / size) * size)
    return np.minimum(indices, count - 1).reshape(-1, size)


@functools.lru_cache(maxsize=16)
def programs(policy: Policy, name: str, simulator: str):
    """Two compiled functions: what starts episodes, and what goes on with them.

    Keys [K, E] -> members [K, E]; (params with a leading axis [K], members, steps at most) ->
    members after a block of so many steps, or when all have ended; the members given are used up.
    """
    environment = _made(name, simulator)

    def start(key):
        return Member(environment.reset(key), jnp.bool(True), jnp.float32(0), jnp.int32(0))

    def step(params, member):
        after = environment.step(member.state, policy(params, member.state.obs))
        kept = jax.tree.map(lambda x, y: jnp.where(member.running, x, y), after, member.state)
        return Member(
            kept,
            member.running & (after.done == 0),
            member.total + jnp.where(member.running, after.reward, 0.0),
            member.steps + member.running,
        )

    def advance(params, members, block):
        def go_on(carry):
            step_number, members = carry
            return (step_number < block) & members.running.any()

        def step_all(carry):
            step_number, members = carry
            every = jax.vmap(jax.vmap(step, in_axes=(None, 0)))
            return step_number + 1, every(params, members)

        zero = jnp.zeros(members.running.shape)
        fresh = members._replace(total=zero, steps=zero.astype(jnp.int32))
        return jax.lax.while_loop(go_on, step_all, (0, fresh))[1]

    return jax.jit(jax.vmap(jax.vmap(start))), jax.jit(advance, donate_argnums=1)


@functools.cache
def _made(name: str, simulator: str) -> Any:
    try:
        from obd_jax.evaluation import locomotion
    except ImportError as error:
        raise InvalidInputError(
            f"{simulator} needs the packages brax and mujoco-mjx (pip install brax mujoco-mjx): "
            f"{error}"
        ) from error
    if simulator == "brax":
        return locomotion.of_brax(name)
    return locomotion.Locomotion(locomotion.TASKS[f"gymnasium_{name}_v4"])
