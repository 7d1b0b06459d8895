"""Stages of distillation: which students a set is distilled for, one after another."""

import dataclasses
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from obd_jax.distill.outer import OuterSettings
from obd_jax.settings import OptionError, choice, not_negative, option, part, within
from obd_jax.students import RECIPES, TRAINERS, LazyMLPRecipe, MLPRecipe, Recipe
from obd_jax.types import Student


@dataclasses.dataclass(frozen=True)
class MLPStudents:
    """Networks that a set is distilled for: the recipe, others beside it, narrow ones before it.

    recipe:        of the student that the set is for.
    meta_gradient: through its training.
    also_depths:   other numbers of hidden layers that the set serves too.
    also_steps:    other numbers of training steps that the set serves too.
    lazy_weight:   weight of the student's linear approximation in the objective; 0: without.
    narrow_widths: of networks that stand in for the student first.
    narrow_steps:  outer steps for each width.
    narrow_spread: what their variance over initialisations counts.
    """

    recipe: MLPRecipe = part(MLPRecipe)
    meta_gradient: Any = choice(
        TRAINERS, "reverse", f"Through the student's training: one of {', '.join(TRAINERS)}."
    )
    also_depths: tuple[int, ...] = option(
        (), "Other numbers of hidden layers that the set serves too."
    )
    also_steps: tuple[int, ...] = option(
        (), "Other numbers of training steps that the set serves too."
    )
    lazy_weight: float = option(
        0.0, "Weight of the linear approximation of an SGD student in the objective."
    )
    narrow_widths: tuple[int, ...] = option(
        (), "Widths of narrow, centred networks that stand in for the student first."
    )
    narrow_steps: tuple[int, ...] = option((), "Outer steps for each of the narrow widths.")
    narrow_spread: float = option(
        0.4, "What the variance over initialisations counts for them; 1: all of it."
    )

    def __post_init__(self) -> None:
        recipe = self.recipe
        not_negative(lazy_weight=self.lazy_weight)
        if self.lazy_weight > 0 and (recipe.optimizer != "sgd" or recipe.residual):
            raise OptionError("{lazy_weight} needs {inner_optimizer}=sgd and no {residual}")
        shortest = min((recipe.steps, *self.also_steps))
        window = getattr(self.meta_gradient, "window", 0)
        if window > shortest:
            raise OptionError(
                f"{{window}} must be at most the least of {{inner_steps}} and {{also_steps}}, "
                f"{shortest}, got {window}"
            )
        for name in ("also_depths", "also_steps"):
            if min(getattr(self, name), default=1) < 1:
                raise OptionError(f"{{{name}}} must be positive numbers, got {getattr(self, name)}")
        if self.also_depths and len({*recipe.hidden_sizes}) > 1:
            raise OptionError(
                f"{{also_depths}} needs {{hidden_sizes}} of one width, got {recipe.hidden_sizes}"
            )
        within(0, 1, narrow_spread=self.narrow_spread)
        widths, steps = self.narrow_widths, self.narrow_steps
        if len(widths) != len(steps) or min((*widths, *steps), default=1) < 1:
            raise OptionError(
                "{narrow_widths} and {narrow_steps} must be as many positive numbers each, got "
                f"{widths} and {steps}"
            )
        if widths and max(widths) >= max(recipe.hidden_sizes):
            raise OptionError(
                f"{{narrow_widths}} must be below those of {{hidden_sizes}} "
                f"{recipe.hidden_sizes}, got {widths}"
            )


# What a set is distilled for: a recipe, or networks and what goes with them.
STUDENTS: Mapping[str, type[Any]] = {**RECIPES, "mlp": MLPStudents}


def recipe_of(students: Any) -> Recipe:
    """The student that a set is for and is scored with."""
    return students.recipe if isinstance(students, MLPStudents) else students


class Stage(NamedTuple):
    """A part of distillation, with the same students.

    students:      trained at every step, with their weights.
    spread:        what the students' variance counts.
    steps:         outer steps.
    learning_rate: of the set.
    """

    students: list[tuple[float, Student]]
    spread: float
    steps: int
    learning_rate: float


def total_steps(students: Any, outer: OuterSettings) -> int:
    """Outer steps of all stages."""
    return sum(getattr(students, "narrow_steps", ())) + outer.steps


def stages(students: Any, outer: OuterSettings, action_size: int) -> list[Stage]:
    """Distillation for narrow networks, if any are given, and then for the student itself.

    Apart from their variance, which goes with the inverse width, networks of this initialisation
    learn nearly the same from a set at any width, and a step costs far less with a narrow one.
    So only a part of their variance counts. The set's learning rate goes with the inverse square
    root of the width.
    """
    if not isinstance(students, MLPStudents):
        alone = [(1.0, students.student(action_size))]
        return [Stage(alone, 1.0, outer.steps, outer.learning_rate)]
    own = students.recipe
    trainer = students.meta_gradient.trainer()
    beside: list[tuple[float, Student]] = []
    if students.lazy_weight > 0:
        lazy = LazyMLPRecipe(
            depth=len(own.hidden_sizes),
            steps=own.steps,
            learning_rate=own.learning_rate,
            momentum=own.momentum,
            cloning=own.cloning,
        )
        beside.append((students.lazy_weight, lazy.student(action_size)))
    served = [
        own,
        *(replace(own, hidden_sizes=own.hidden_sizes[:1] * n) for n in students.also_depths),
        *(replace(own, steps=steps) for steps in students.also_steps),
    ]

    def trained(recipes: list[MLPRecipe]) -> list[tuple[float, Student]]:
        return [(1 / len(recipes), each.student(action_size, trainer)) for each in recipes]

    found = []
    for width, steps in zip(students.narrow_widths, students.narrow_steps, strict=True):
        narrow = [
            replace(each, hidden_sizes=(width,) * len(each.hidden_sizes), centred=True)
            for each in served
        ]
        learning_rate = outer.learning_rate * (max(own.hidden_sizes) / width) ** 0.5
        members = [*trained(narrow), *beside]
        found.append(Stage(members, students.narrow_spread, steps, learning_rate))
    members = [*trained(served), *beside]
    return [*found, Stage(members, 1.0, outer.steps, outer.learning_rate)]
