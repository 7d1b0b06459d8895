"""Returns of other libraries' learners on many sets, a process for several of them."""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import foreign
import numpy as np
from foreign import ForeignLearner
from host_rollouts import host_scores
from joblib import Parallel, delayed

from obd_jax.environments import EnvironmentSpec
from obd_jax.evaluation import FINAL_SEED
from obd_jax.numerics import cores

# Sets for which it pays to start a process, which takes seconds.
SETS_FOR_A_PROCESS = 3


class Scored(NamedTuple):
    """A learner on a set.

    returns:  [K, E] in the environment's unit; None: training or acting fails.
    warnings: of the library.
    failed:   why.
    """

    returns: np.ndarray | None
    warnings: list[str]
    failed: str | None


def scores(
    learner: ForeignLearner,
    path: pathlib.Path,
    environment: EnvironmentSpec,
    seeds: Sequence[int],
    episodes: int,
    first_episode: int = FINAL_SEED,
    threads: int | None = None,
) -> Scored:
    """A learner on the set of a file, K = one for every seed, in E = `episodes` episodes.

    One that is not random is trained once and has the episodes of all seeds: returns [1, K E].
    """
    own = seeds if learner.random else seeds[:1]
    warned: list[str] = []
    try:
        policies, warned = foreign.train(learner, foreign.read(path), own)
        returns = host_scores(
            policies,
            environment,
            episodes=episodes * len(seeds) // len(own),
            seed=first_episode,
            threads=threads,
        )
    except (FloatingPointError, ValueError) as error:  # As each library says it.
        return Scored(None, warned, str(error))
    return Scored(returns, warned, None)


def scores_together(
    learner: ForeignLearner,
    paths: Sequence[pathlib.Path],
    environment: EnvironmentSpec,
    seeds: Sequence[int],
    episodes: int,
    first_episode: int = FINAL_SEED,
) -> list[Scored]:
    """For every set what `scores` gives; many sets are divided between the cores."""
    processes = min(cores(), max(1, len(paths) // SETS_FOR_A_PROCESS))
    threads = max(1, cores() // processes)
    return Parallel(n_jobs=processes)(
        delayed(scores)(learner, path, environment, seeds, episodes, first_episode, threads)
        for path in paths
    )
