"""Tiny runs on the toy task, and what their tests read of them."""

import json

import jax

from obd_jax import evaluation
from obd_jax.pipeline import RunSettings, preparation, problem
from obd_jax.reporting import SILENT
from obd_jax.settings import from_options, with_options

TINY = from_options(
    RunSettings,
    {
        "dataset": "toy",
        "density": "gaussian",
        "pairs": 8,
        "student": "mlp",
        "hidden_sizes": (8,),
        "inner_steps": 5,
        "outer_learning_rate": 0.02,
        "clip_norm": 1.0,
        "outer_steps": 12,
        "batch_size": 64,
        "students": 2,
        "episodes": 3,
        "curve_points": 2,
    },
)
# As many students and episodes as along the curve: one program serves both.
REAL = with_options(
    TINY,
    pairs=32,
    initializer="random",
    hidden_sizes=(32,),
    inner_steps=50,
    outer_steps=100,
    batch_size=256,
    students=evaluation.CURVE_STUDENTS,
    episodes=evaluation.CURVE_EPISODES,
)
# The same with a student in closed form.
KERNEL = with_options(REAL, student="kernel", outer_learning_rate=0.01)


def prepared_for(settings):
    """What a run of these settings starts from."""
    loaded = problem.load_problem(settings, SILENT)
    key = jax.random.key(settings.run.seed)
    return preparation.prepare(key, loaded, settings.distillation, SILENT)


def few_transitions(patch, count=500):
    """The toy's data shall be this small, until the patch ends."""
    patch.setattr(problem, "TOY_TRANSITIONS", count)


def lines_of(path):
    """Records of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]
