"""The outer optimisation: how a synthetic set is moved, and for how long."""

import dataclasses
from collections.abc import Callable

import numpy as np
import optax

from obd_jax import optimizers
from obd_jax.distill.constraints import CONSTRAINTS
from obd_jax.distill.train import cosine_anneal
from obd_jax.settings import OptionError, at_least, not_negative, one_of, option, positive, within

ANNEALS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "cosine": cosine_anneal,
    "constant": np.ones_like,
}


@dataclasses.dataclass(frozen=True)
class OuterSettings:
    """The outer optimiser and its budget.

    constraint:     on synthetic actions.
    optimizer:      of the set, with its learning rate and momentum.
    clip_norm:      largest norm of the set's gradient; 0: not clipped.
    anneal:         of the outer step size.
    steps:          outer steps at most.
    batch_size:     B, real states per outer step.
    average:        share of the outer steps, the last ones, whose sets are averaged.
    budget_minutes: wall-clock of distillation at most, compilation included.
    """

    constraint: str = option(
        "squashed",
        f"Constraint on synthetic actions: one of {', '.join(CONSTRAINTS)}; squashed: by tanh.",
    )
    optimizer: str = option(
        "adam",
        f"Optimiser of the set: one of {', '.join(optimizers.OPTIMIZERS)}.",
        "outer_optimizer",
    )
    learning_rate: float = option(0.01, "Learning rate of the set.", "outer_learning_rate")
    momentum: float = option(0.9, "Momentum of the set's optimiser.", "outer_momentum")
    clip_norm: float = option(0.0, "Norm at which the set's gradient is clipped; 0: no clipping.")
    anneal: str = option(
        "cosine", f"Schedule of the outer learning rate: one of {', '.join(ANNEALS)}."
    )
    steps: int = option(
        4000, "Maximum number of outer steps, not counting those of narrow networks.", "outer_steps"
    )
    batch_size: int = option(1024, "Real states per outer step.")
    average: float = option(
        0.0,
        "The result is the mean of the sets in this last share of the outer steps; 0: the last "
        "set.",
    )
    budget_minutes: float | None = option(
        None, "Limit on the wall-clock of distillation, compilation included."
    )

    def __post_init__(self) -> None:
        one_of("constraint", self.constraint, CONSTRAINTS)
        one_of("anneal", self.anneal, ANNEALS)
        self.transformation()  # Refuses bad values.
        not_negative(clip_norm=self.clip_norm)
        at_least(1, outer_steps=self.steps, batch_size=self.batch_size)
        within(0, 1, average=self.average)
        positive(budget_minutes=self.budget_minutes)
        if self.average and self.budget_minutes is not None:
            raise OptionError(
                "{average} needs a known number of steps: give {outer_steps} in place of "
                "{budget_minutes}, or {average}=0"
            )

    def transformation(self, learning_rate: float | None = None) -> optax.GradientTransformation:
        """The outer optimiser, with another learning rate if one is given."""
        rate = self.learning_rate if learning_rate is None else learning_rate
        optimizer = optimizers.make(self.optimizer, rate, self.momentum)
        if not self.clip_norm > 0:
            return optimizer
        return optax.chain(optax.clip_by_global_norm(self.clip_norm), optimizer)
