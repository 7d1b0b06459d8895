"""Returns of policies in environments of Brax's form: v4 tasks in MJX, Brax's, Playground's."""

import functools
import inspect
import math
import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from obd_jax.environments import MAX_EPISODE_STEPS, EnvironmentSpec, rules
from obd_jax.evaluation import playground
from obd_jax.evaluation.rollouts import Lengths, Progress
from obd_jax.evaluation.traced import traced
from obd_jax.types import Array, Params, Policy

# Steps between two looks at whether all episodes have ended.
BLOCK = 100
# Environments at once: on a CPU 256 are slower, and a thousand may hang XLA (docs/rollouts.md;
# jaxlib 0.10.2, no issue of JAX's is known).
AT_ONCE_ON_CPU, AT_ONCE = 16, 4096


def brax_environment(environment: EnvironmentSpec) -> Any:
    """The task as an environment of Brax's form (reset, step), made once.

    Raises:
        InvalidInputError: Brax, MJX or MuJoCo Playground is not installed, or has no such task.
    """
    return _made(environment.short_name, environment.simulator)


def mjx_returns(
    policy: Policy,
    params: Params,
    environment: EnvironmentSpec,
    *,
    students: int,
    episodes: int,
    seed: int,
    progress: Progress | None = None,
    lengths: Lengths | None = None,
    at_once: int | None = None,
) -> np.ndarray:
    """Returns of K policies in an environment of Brax, rolled out where JAX computes.

    All students and episodes advance together in one compiled program of BLOCK steps, called until
    every episode has ended. An episode that has ended keeps its last state and costs as much as
    before.

    Args:
        policy: (params, raw observations) -> actions.
        params: with a leading axis [K].
        environment: simulated by mjx, brax or playground.
        students: K.
        episodes: E.
        seed: of the first states.
        progress: called after every block, and at the end.
        lengths: called with the steps of every episode, [K, E].
        at_once: environments that advance together at most, which bounds the memory; None: 16 on a
            CPU, 4096 elsewhere.

    Returns:
        [K, E] float64 returns in the environment's units, whatever `at_once` is.

    Raises:
        InvalidInputError: Brax or MJX is not installed.
    """
    if at_once is None:
        at_once = AT_ONCE_ON_CPU if jax.default_backend() == "cpu" else AT_ONCE
    keys = jax.random.split(jax.random.key(seed), (students, episodes))
    student_parts = _parts(students, at_once)
    episode_parts = _parts(episodes, max(1, at_once // student_parts.shape[1]))
    together = student_parts.shape[1], episode_parts.shape[1]
    start, advance = programs(policy, environment.short_name, environment.simulator, *together)
    returns = np.zeros((students, episodes))
    taken = np.zeros((students, episodes), np.int64)
    done, left = 0, student_parts.size * episode_parts.size * MAX_EPISODE_STEPS
    for some_students in student_parts:
        their_params = jax.tree.map(lambda x, part=some_students: x[part], params)
        for some_episodes in episode_parts:
            cells = np.ix_(some_students, some_episodes)
            members = start(keys[cells])
            found, steps = np.zeros(members.total.shape), 0
            own = np.zeros(members.steps.shape, np.int64)
            while steps < MAX_EPISODE_STEPS:
                members = advance(their_params, members, BLOCK)
                steps += BLOCK
                # Summed up here, in float64.
                found += members.total
                own += members.steps
                done += int(members.steps.sum())
                running = int(members.running.sum())
                if not running:
                    break
                if progress is not None:
                    here = running * (MAX_EPISODE_STEPS - steps)
                    progress(done, done + here + left - found.size * MAX_EPISODE_STEPS)
            left -= found.size * MAX_EPISODE_STEPS
            returns[cells], taken[cells] = found, own
    if progress is not None:
        progress(done, done)
    if lengths is not None:
        lengths(taken)
    return returns


class Member(NamedTuple):
    """Episodes of all students, [K, E] of everything.

    state:        arrays of Brax's states.
    observations: [K, E, D] raw.
    running:      whether the episode continues, bool.
    total:        reward of this block, float32.
    steps:        of this block, int32.
    """

    state: list[Array]
    observations: Array
    running: Array
    total: Array
    steps: Array


def _parts(count: int, most: int) -> np.ndarray:
    """Indices [parts, size <= most], all equal in size: the last part may repeat the last index."""
    size = math.ceil(count / math.ceil(count / most))
    indices = np.arange(math.ceil(count / size) * size)
    return np.minimum(indices, count - 1).reshape(-1, size)


@functools.lru_cache(maxsize=16)
def programs(policy: Policy, name: str, simulator: str, students: int, episodes: int):
    """Two compiled functions: one starts episodes, the other continues them.

    Keys [K, E] -> members; (params with a leading axis [K], members, steps at most) -> members
    after a block of so many steps, or when all have ended; the members given are used up.
    """
    reset, simulate = _simulation(name, simulator, students * episodes)
    act = jax.vmap(jax.vmap(policy, in_axes=(None, 0)))

    def members_of(array):
        return array.reshape(students, episodes, *array.shape[1:])

    def start(keys):
        state, observations = reset(jax.random.key_data(keys.ravel()))
        like = jnp.zeros((students, episodes))
        return Member(
            [members_of(x) for x in state],
            members_of(observations),
            like == 0,
            like,
            like.astype(jnp.int32),
        )

    def step(params, members):
        def kept(after, before):
            running = members.running.reshape(students, episodes, *[1] * (before.ndim - 2))
            return jnp.where(running, after, before)

        actions = act(params, members.observations)
        flat = [x.reshape(students * episodes, *x.shape[2:]) for x in members.state]
        state, observations, reward, done = simulate(
            flat, actions.reshape(students * episodes, *actions.shape[2:])
        )
        reward, done = members_of(reward), members_of(done)
        return Member(
            [kept(members_of(x), y) for x, y in zip(state, members.state, strict=True)],
            kept(members_of(observations), members.observations),
            members.running & (done == 0),
            members.total + jnp.where(members.running, reward, 0.0),
            members.steps + members.running,
        )

    def advance(params, members, block):
        def unfinished(carry):
            step_number, members = carry
            return (step_number < block) & members.running.any()

        def step_all(carry):
            step_number, members = carry
            return step_number + 1, step(params, members)

        zero = jnp.zeros(members.running.shape)
        fresh = members._replace(total=zero, steps=zero.astype(jnp.int32))
        return jax.lax.while_loop(unfinished, step_all, (0, fresh))[1]

    return jax.jit(start), jax.jit(advance, donate_argnums=1)


def _simulation(name: str, simulator: str, count: int):
    """`count` environments as functions of arrays, which a file may hold: MJX traces for seconds.

    Raw keys [count, ...] -> arrays of the states and observations; (arrays, actions [count, A]) ->
    arrays, observations, rewards and whether the episodes have ended.
    """
    environment = _made(name, simulator)
    sources = [pathlib.Path(inspect.getfile(defined)) for defined in (type(environment), rules)]
    reset_all, step_all = jax.vmap(environment.reset), jax.vmap(environment.step)

    def reset(raw_keys):
        states = reset_all(jax.random.wrap_key_data(raw_keys))
        return jax.tree.leaves(states), states.obs

    def step(state, actions):
        form = jax.tree.structure(jax.eval_shape(reset_all, keys))
        states = step_all(jax.tree.unflatten(form, state), actions)
        return jax.tree.leaves(states), states.obs, states.reward, states.done

    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), count))
    raw = jax.eval_shape(jax.random.key_data, keys)
    label = f"{simulator}-{name}-{count}"
    kept_reset = traced(reset, f"reset-{label}", sources, raw)
    state, _ = jax.eval_shape(kept_reset, raw)
    actions = jax.ShapeDtypeStruct((count, environment.action_size), jnp.float32)
    return kept_reset, traced(step, f"step-{label}", sources, state, actions)


@functools.cache
def _made(name: str, simulator: str) -> Any:
    if simulator == "playground":
        return playground.load(name)
    from obd_jax.evaluation import locomotion  # Takes seconds, and most commands roll out on CPUs.

    if simulator == "brax":
        return locomotion.of_brax(name)
    return locomotion.Locomotion(locomotion.TASKS[f"gymnasium_{name}_v4"])
