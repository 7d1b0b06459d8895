"""Scores of policies and of students trained from a synthetic set."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from obd_jax import environments
from obd_jax.environments import EnvironmentSpec
from obd_jax.evaluation.functional import functional_returns
from obd_jax.evaluation.mjx import mjx_returns
from obd_jax.evaluation.rollouts import Lengths, Progress, gymnasium_returns, host_returns
from obd_jax.evaluation.students import fit_students, student_policy
from obd_jax.types import Key, Normalizer, Params, Policy, Student, SyntheticData


def score_policies(
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
    """Returns [K, E] of K policies, params with a leading axis [K], in the environment's unit.

    The environment's simulator rolls them out. `seed` is that of the first episode; in Gymnasium
    also [K, E], that of each. `lengths` is called with the steps of every episode, [K, E].
    """
    counts: dict[str, Any] = {
        "students": students,
        "episodes": episodes,
        "seed": seed,
        "lengths": lengths,
    }
    if environment.functional is not None:
        returns = functional_returns(policy, params, environment.functional, **counts)
    else:
        roll_out = gymnasium_returns if environment.simulator == "gymnasium" else mjx_returns
        returns = roll_out(policy, params, environment, progress=progress, **counts)
    return environments.score(environment, returns)


def score_act(
    act: Callable[[Any], Any],
    environment: EnvironmentSpec,
    *,
    episodes: int,
    seed: int,
    progress: Progress | None = None,
) -> np.ndarray:
    """Returns [1, E] of one policy on raw observations, as of `score_policies`."""
    return score_policies(
        lambda _, observations: act(observations),
        np.zeros(1),
        environment,
        students=1,
        episodes=episodes,
        seed=seed,
        progress=progress,
    )


def score_untraced(
    act: Callable[[Any], Any],
    environment: EnvironmentSpec,
    *,
    episodes: int,
    seed: int,
    progress: Progress | None = None,
) -> np.ndarray:
    """Returns [1, E] in Gymnasium of a policy that JAX cannot trace: it is called as it is."""
    returns = host_returns(
        lambda observations: np.asarray(act(observations)),
        environment,
        episodes=episodes,
        seed=seed,
        progress=progress,
    )
    return environments.score(environment, returns[None])


def score_students(
    key: Key,
    student: Student,
    synthetic: SyntheticData,
    normalizer: Normalizer,
    environment: EnvironmentSpec,
    *,
    students: int,
    episodes: int,
    seed: int,
    progress: Progress | None = None,
    lengths: Lengths | None = None,
) -> np.ndarray:
    """Returns [K, E] of K students trained from scratch on a synthetic set.

    A deterministic student is trained once and has all K E episodes: returns [1, K E].

    Args:
        key: of the students' initialisations.
        student: how they are trained.
        synthetic: what they are trained on.
        normalizer: what they see raw observations through.
        environment: where they act.
        students: K.
        episodes: E, for each student.
        seed: of the episodes.
        progress: of the rollouts.
        lengths: called with the steps of every episode, shaped as the returns.

    Returns:
        Normalised returns, 100 for the reference expert and 0 for the random policy; raw returns if
        these references are unknown.
    """
    if student.deterministic:
        students, episodes = 1, students * episodes
    trained = fit_students(key, student, synthetic, students)
    normalizers = jax.tree.map(lambda x: jnp.stack([x] * students), normalizer)
    return score_policies(
        student_policy(student),
        (trained, normalizers),
        environment,
        students=students,
        episodes=episodes,
        seed=seed,
        progress=progress,
        lengths=lengths,
    )
