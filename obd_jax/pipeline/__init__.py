"""The pipeline: from data and a teacher to a distilled set, its scores and its files."""

from obd_jax.pipeline.population import MemberSettings, run_population
from obd_jax.pipeline.presets import PRESETS, preset
from obd_jax.pipeline.problem import Problem, load_problem
from obd_jax.pipeline.rescore import RescoreSettings, rescore
from obd_jax.pipeline.run import run
from obd_jax.pipeline.settings import Distillation, RunSettings
from obd_jax.pipeline.stages import MLPStudents
from obd_jax.pipeline.synthesis import Result, synthesize
from obd_jax.pipeline.teacher_training import TrainingSettings, train_in

__all__ = [
    "PRESETS",
    "Distillation",
    "MLPStudents",
    "MemberSettings",
    "Problem",
    "RescoreSettings",
    "Result",
    "RunSettings",
    "TrainingSettings",
    "load_problem",
    "preset",
    "rescore",
    "run",
    "run_population",
    "synthesize",
    "train_in",
]
