"""Learners of the package, by recipes that people use; each is trained on the whole set at once."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from content import ensemble

from obd_jax import artefacts, evaluation, students
from obd_jax.environments import EnvironmentSpec
from obd_jax.evaluation import FINAL_SEED
from obd_jax.evaluation.rollouts import Progress
from obd_jax.pipeline.preparation import make_student, split_key
from obd_jax.students import KernelRecipe, MLPRecipe, Recipe


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
    """Normalised returns [K, E], one student for every seed.

    A deterministic student is trained once and has all K E episodes: returns [1, K E].

    Raises:
        evaluation.NotFiniteError: its training diverges.
    """
    recipe = learner.recipe_on(distilled.card)
    student = make_student(recipe, distilled.synthetic.actions.shape[1])
    if learner.together > 1:
        student = ensemble(student)
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
