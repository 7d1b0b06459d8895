"""Learners of the package, by recipes that people use; each is trained on the whole set at once."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from content import ensemble

from obd_jax import artefacts, evaluation, students
from obd_jax.environments import EnvironmentSpec
from obd_jax.evaluation import FINAL_SEED
from obd_jax.evaluation.rollouts import Progress
from obd_jax.pipeline.preparation import make_student, split_key
from obd_jax.students import KernelRecipe, MLPRecipe, Recipe
from obd_jax.types import Student


class OwnLearner(NamedTuple):
    """A learner of the package.

    recipe:   of a student; None: the kernel student of the set's card, else the default one.
    together: students that act as one, by their mean action: 1 or 10.
    """

    recipe: MLPRecipe | None
    together: int = 1

    def recipe_on(self, card: Mapping[str, Any]) -> Recipe:
        """The recipe on the set of a card."""
        return kernel_of(card) if self.recipe is None else self.recipe

    def about(self, card: Mapping[str, Any]) -> dict[str, Any]:
        """What it is on the set of a card, in plain values."""
        return {**students.to_card(self.recipe_on(card)), "ensemble": self.together}


def kernel_of(card: Mapping[str, Any]) -> KernelRecipe:
    """The kernel student that a card recommends; the default one where it recommends none."""
    recommended = card.get("student")
    if isinstance(recommended, dict) and recommended.get("name") == "kernel":
        recipe = students.from_card(recommended)
        assert isinstance(recipe, KernelRecipe)
        return recipe
    return KernelRecipe()


def scores(
    learner: OwnLearner,
    distilled: artefacts.DistilledSet,
    environment: EnvironmentSpec,
    seeds: Sequence[int],
    episodes: int,
    progress: Progress | None = None,
    first_episode: int = FINAL_SEED,
) -> np.ndarray:
    """Returns [K, E], one student for every seed, in the environment's unit.

    A deterministic student is trained once and has all K E episodes: returns [1, K E].

    Raises:
        evaluation.NotFiniteError: its training diverges.
    """
    student = student_of(learner, distilled)
    count = len(seeds) if student.deterministic else 1
    return np.concatenate(
        [
            evaluation.score_students(
                split_key(jax.random.key(seed))["students"],
                student,
                distilled.synthetic,
                distilled.normalizer,
                environment,
                students=count,
                episodes=episodes,
                seed=first_episode + i * episodes,
                progress=progress,
            )
            for i, seed in enumerate(seeds[:1] if student.deterministic else seeds)
        ]
    )


def scores_together(
    learner: OwnLearner,
    sets: Sequence[artefacts.DistilledSet],
    environment: EnvironmentSpec,
    seeds: Sequence[int],
    episodes: int,
    progress: Progress | None = None,
    first_episode: int = FINAL_SEED,
) -> list[np.ndarray | None]:
    """For every set what `scores` gives; None where training diverges.

    In Gymnasium's tasks all students are trained in one program and act side by side: on a GPU that
    takes about as long as one set. All sets must have one size and recommend the same student.
    """
    if environment.functional is not None or environment.simulator != "gymnasium":
        return [
            _or_none(learner, one, environment, seeds, episodes, progress, first_episode)
            for one in sets
        ]
    student = student_of(learner, sets[0])
    count = 1 if student.deterministic else len(seeds)
    keys = [jax.random.split(split_key(jax.random.key(seed))["students"], 1) for seed in seeds]
    synthetic, normalizers = (
        jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts)
        for parts in zip(*((one.synthetic, one.normalizer) for one in sets), strict=True)
    )
    trained = _fit_each(student)(jnp.concatenate(keys[:count]), synthetic)
    finite = np.ones(len(sets), bool)
    for leaf in jax.tree.leaves(trained):
        finite &= np.asarray(jnp.isfinite(leaf).reshape(len(sets), -1).all(axis=1))
    # [S, K, ...] -> [S K, ...]
    params = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), trained)
    starts = first_episode + np.arange(len(seeds) * episodes).reshape(count, -1)
    returns = evaluation.score_policies(
        evaluation.student_policy(student),
        (params, jax.tree.map(lambda leaf: jnp.repeat(leaf, count, axis=0), normalizers)),
        environment,
        students=len(sets) * count,
        episodes=starts.shape[1],
        seed=np.tile(starts, (len(sets), 1)),
        progress=progress,
    ).reshape(len(sets), count, -1)
    return [own if good else None for own, good in zip(returns, finite, strict=True)]


def _or_none(learner: OwnLearner, one: artefacts.DistilledSet, *how: Any) -> np.ndarray | None:
    try:
        return scores(learner, one, *how)
    except evaluation.NotFiniteError:
        return None


def advice(learner: OwnLearner, distilled: artefacts.DistilledSet) -> str:
    """What helps where its training diverges."""
    return student_of(learner, distilled).advice


def student_of(learner: OwnLearner, distilled: artefacts.DistilledSet) -> Student:
    """The student that a learner is on a set."""
    recipe = learner.recipe_on(distilled.card)
    student = make_student(recipe, distilled.synthetic.actions.shape[1])
    return ensemble(student) if learner.together > 1 else student


@functools.lru_cache(maxsize=16)
def _fit_each(student: Student):
    """(keys [K], sets [S, N, ...]) -> parameters [S, K, ...], compiled once."""
    return jax.jit(jax.vmap(jax.vmap(student.fit, in_axes=(0, None)), in_axes=(None, 0)))


_PAPERS = MLPRecipe(steps=100, optimizer="sgd", learning_rate=0.1, momentum=0.0, cloning="action")
_ADAM = dataclasses.replace(_PAPERS, steps=1000, optimizer="adam", learning_rate=1e-3, momentum=0.9)


def _adam(depth: int, width: int, **changes: Any) -> OwnLearner:
    return OwnLearner(dataclasses.replace(_ADAM, hidden_sizes=(width,) * depth, **changes))


OWN: Mapping[str, OwnLearner] = {
    "kernel": OwnLearner(None),
    **{f"mlp-{depth}x256": _adam(depth, 256) for depth in range(1, 7)},
    **{f"mlp-3x{width}": _adam(3, width) for width in (64, 128, 512, 1024)},
    # To convergence.
    **{f"mlp-{depth}x256-long": _adam(depth, 256, steps=4000) for depth in (2, 3)},
    "mlp-residual": _adam(3, 256, residual=True),
    "mlp-adamw": _adam(3, 256, optimizer="adamw"),
    "mlp-sgd": OwnLearner(dataclasses.replace(_PAPERS, steps=1000)),
    "mlp-momentum": OwnLearner(
        dataclasses.replace(_PAPERS, steps=1000, learning_rate=0.01, momentum=0.9)
    ),
    "papers": OwnLearner(_PAPERS),
    "papers-ensemble": OwnLearner(_PAPERS, together=10),
}
