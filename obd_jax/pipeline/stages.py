"""Stages of distillation: which students a set is distilled for, one after another."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from obd_jax.distill.outer import OuterSettings
from obd_jax.distill.pool_member import PoolMember
from obd_jax.optimizers import OPTIMIZERS
from obd_jax.settings import (
    OptionError,
    at_least,
    choice,
    not_negative,
    option,
    part,
    positive,
    within,
)
from obd_jax.students import (
    RECIPES,
    TRAINERS,
    KernelRecipe,
    LazyMLPRecipe,
    MLPRecipe,
    Recipe,
)
from obd_jax.types import Student


@dataclasses.dataclass(frozen=True)
class MLPStudents:
    """Networks that a set is distilled for: the recipe, further ones, and narrow ones first.

    recipe:        of the student that the set is for.
    meta_gradient: through its training.
    also_depths:   numbers of hidden layers of further students to distil for.
    also_steps:    numbers of training steps of further students to distil for.
    lazy_weight:   weight of the student's linear approximation in the objective; 0: without.
    narrow_widths: widths of networks to distil for first, in place of the student.
    narrow_steps:  outer steps for each width.
    narrow_spread: weight of their variance over initialisations.
    """

    recipe: MLPRecipe = part(MLPRecipe)
    meta_gradient: Any = choice(
        TRAINERS,
        "reverse",
        f"Gradient through the student's training: one of {', '.join(TRAINERS)}.",
    )
    also_depths: tuple[int, ...] = option(
        (), "Numbers of hidden layers of further students to distil for."
    )
    also_steps: tuple[int, ...] = option(
        (), "Numbers of training steps of further students to distil for."
    )
    lazy_weight: float = option(
        0.0, "Weight of the linearised MLP, a second student, in the objective."
    )
    narrow_widths: tuple[int, ...] = option(
        (), "Widths of narrow, centred networks to distil for first, in place of the student."
    )
    narrow_steps: tuple[int, ...] = option((), "Outer steps of each narrow width.")
    narrow_spread: float = option(
        0.4, "Weight of the narrow networks' variance over initialisations; 1: full weight."
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
                f"{{window}} must be at most the smallest of {{inner_steps}} and {{also_steps}}, "
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
                "{narrow_widths} and {narrow_steps} must be equally many positive numbers, got "
                f"{widths} and {steps}"
            )
        if widths and max(widths) >= max(recipe.hidden_sizes):
            raise OptionError(
                f"{{narrow_widths}} must be below those of {{hidden_sizes}} "
                f"{recipe.hidden_sizes}, got {widths}"
            )


@dataclasses.dataclass(frozen=True)
class PoolStudents:
    """Any learner: the kernel student, and networks that are being trained on the set all the time.

    recipe:        of the kernel student, which the set's card recommends.
    kernel_weight: of its loss, beside 1 for each kind of networks.
    depths:        hidden layers; each is a kind of networks.
    width:         of every layer.
    optimizer:     of the networks' training, with its learning rate.
    max_age:       training steps after which a network is replaced by a new one.
    turn_steps:    training steps of a network after each outer step that it took part in.
    count:         networks of a kind, of different ages.
    ridge:         of the regression on the networks' features.
    unroll:        training steps of a network whose output counts in the loss too; 0: it does not.
    """

    recipe: KernelRecipe = part(KernelRecipe)
    kernel_weight: float = option(
        1.0, "Weight of the kernel student's loss; the networks of each depth have weight 1."
    )
    depths: tuple[int, ...] = option(
        (2, 4), "Hidden layers of the networks in the pool.", "pool_depths"
    )
    width: int = option(256, "Width of the hidden layers.", "pool_width")
    optimizer: str = option(
        "adam", f"Optimiser of the networks: one of {', '.join(OPTIMIZERS)}.", "pool_optimizer"
    )
    learning_rate: float = option(1e-3, "Learning rate of the networks.", "pool_learning_rate")
    max_age: int = option(
        600, "Training steps after which a network is replaced by a new one.", "pool_age"
    )
    turn_steps: int = option(
        3, "Training steps of a network after each outer step that used it.", "pool_steps"
    )
    count: int = option(8, "Networks of each depth, of different ages.", "pool_count")
    ridge: float = option(1e-3, "Ridge of the regression on the networks' features.", "pool_ridge")
    unroll: int = option(
        0,
        "Further training steps of a network whose output counts in the loss, with the gradient "
        "through them; 0: the loss has features only, at a fifth of the cost of 5.",
        "pool_unroll",
    )

    def __post_init__(self) -> None:
        positive(kernel_weight=self.kernel_weight)
        if not self.depths or min(self.depths) < 1:
            raise OptionError(f"{{pool_depths}} must be positive numbers, got {self.depths}")
        at_least(
            1,
            pool_width=self.width,
            pool_age=self.max_age,
            pool_steps=self.turn_steps,
            pool_count=self.count,
        )
        not_negative(pool_ridge=self.ridge, pool_unroll=self.unroll)
        if self.turn_steps > self.max_age:
            raise OptionError(
                f"{{pool_steps}} must be at most {{pool_age}}, {self.max_age}, got "
                f"{self.turn_steps}"
            )
        self.members()  # Refuses an unknown optimiser and a bad learning rate.

    def members(self) -> list[PoolMember]:
        """The kinds of networks."""
        return [
            PoolMember(
                depth,
                self.width,
                optimizer=self.optimizer,
                learning_rate=self.learning_rate,
                max_age=self.max_age,
                steps_per_update=self.turn_steps,
                count=self.count,
                ridge=self.ridge,
                unroll=self.unroll,
                output_weight=float(self.unroll > 0),
            )
            for depth in self.depths
        ]

    @property
    def network(self) -> MLPRecipe:
        """A network as users of the set train it, of a depth that need not be in the pool."""
        return MLPRecipe(
            hidden_sizes=(self.width,) * 3,
            steps=1000,
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            cloning="action",
        )


# What a set is distilled for: a recipe, or networks and what goes with them.
STUDENTS: Mapping[str, type[Any]] = {**RECIPES, "mlp": MLPStudents, "pool": PoolStudents}


def recipe_of(students: Any) -> Recipe:
    """The student that a set is for and is scored with."""
    return students.recipe if isinstance(students, MLPStudents | PoolStudents) else students


class Stage(NamedTuple):
    """A part of distillation, with the same students.

    students:      trained at every step, with their weights.
    spread:        what the students' variance counts.
    steps:         outer steps.
    learning_rate: of the set.
    members:       networks that are trained all the time; none: all students are trained afresh.
    """

    students: list[tuple[float, Student]]
    spread: float
    steps: int
    learning_rate: float
    members: Sequence[PoolMember] = ()


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
    if isinstance(students, PoolStudents):
        beside = [(students.kernel_weight, students.recipe.student(action_size))]
        return [Stage(beside, 1.0, outer.steps, outer.learning_rate, students.members())]
    if not isinstance(students, MLPStudents):
        own_only = [(1.0, students.student(action_size))]
        return [Stage(own_only, 1.0, outer.steps, outer.learning_rate)]
    own = students.recipe
    trainer = students.meta_gradient.trainer()
    beside = []
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
