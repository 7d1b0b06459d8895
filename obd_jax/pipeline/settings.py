"""The settings of a distillation and of a run, as trees of each component's own."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax

from obd_jax.data import DataSettings
from obd_jax.density import DensitySettings
from obd_jax.distill import ObjectiveSettings, OuterSettings, StartSettings
from obd_jax.evaluation import OfflineSettings, ScoreSettings
from obd_jax.numerics import PRECISIONS
from obd_jax.pipeline.stages import STUDENTS
from obd_jax.runs import RunOptions
from obd_jax.settings import OptionError, choice, one_of, option, part
from obd_jax.teachers import TeacherSettings


@dataclasses.dataclass(frozen=True)
class Distillation:
    """How a set is distilled from a problem.

    objective: what is matched on which states.
    density:   SDW's weights.
    start:     of the set.
    students:  that it is for.
    outer:     the optimiser of the set, and its budget.
    precision: of networks' matrix products.
    """

    objective: ObjectiveSettings = part(ObjectiveSettings, "objective")
    density: DensitySettings = part(DensitySettings, "density weights")
    start: StartSettings = part(StartSettings, "start")
    students: Any = choice(
        STUDENTS, "kernel", f"Student: one of {', '.join(STUDENTS)}.", "student", "student"
    )
    outer: OuterSettings = part(OuterSettings, "outer optimisation")
    precision: str = option(
        "highest",
        f"Precision of networks' matrix products: one of {', '.join(PRECISIONS)}. Below "
        "highest, GPUs and TPUs compute float32 products faster but less exactly. Kernel students "
        "always use highest.",
    )

    def __post_init__(self) -> None:
        one_of("precision", self.precision, PRECISIONS)
        if self.start.initializer == "density" and self.density.temperature == 0:
            raise OptionError("{initializer}=density needs a {temperature} above 0")


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """Everything that defines a run."""

    run: RunOptions = part(RunOptions, "run")
    data: DataSettings = part(DataSettings, "data")
    teacher: TeacherSettings = part(TeacherSettings, "teacher")
    distillation: Distillation = part(Distillation, "distillation")
    scores: ScoreSettings = part(ScoreSettings, "scores")
    offline: OfflineSettings = part(OfflineSettings, "offline evaluation")


Driver = TypeVar("Driver", bound=Callable[..., Any])


def in_its_precision(driver: Driver) -> Driver:
    """A driver of run settings, which come first, with the precision that they ask for."""

    @functools.wraps(driver)
    def wrapped(settings: RunSettings, *args: Any, **kwargs: Any) -> Any:
        with jax.default_matmul_precision(settings.distillation.precision):
            return driver(settings, *args, **kwargs)

    return wrapped  # type: ignore[return-value]
