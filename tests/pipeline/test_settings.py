"""The tree of a run's settings: its options, and what is refused."""

import dataclasses

import jax
import pytest

from obd_jax import settings
from obd_jax.pipeline import Distillation, MLPStudents, RunSettings
from obd_jax.pipeline.settings import in_its_precision
from obd_jax.pipeline.stages import STUDENTS
from obd_jax.settings import from_options, options_of, to_options, with_options
from obd_jax.students import MLPRecipe
from obd_jax.types import InvalidInputError


def test_the_options_of_the_fixed_interface_exist():
    assert options_of(RunSettings).keys() >= {
        "dataset",
        "dataset_path",
        "env",
        "teacher",
        "teacher_stats",
        "teacher_stats_key",
        "seed",
        "budget_minutes",
        "outer_steps",
        "out",
    }


# Of the first versions, whose flags and saved configurations stay of use.
DEFAULTS = {
    "out": None,
    "dataset": None,
    "source": "auto",
    "data_rows": None,
    "dataset_path": None,
    "env": None,
    "teacher": None,
    "teacher_stats": None,
    "teacher_stats_key": None,
    "seed": 0,
    "least_return": 0.0,
    "objective": None,
    "value_scale": None,
    "density": "maf",
    "density_epochs": 10,
    "density_states": 200000,
    "temperature": 0.05,
    "floor_quantile": 0.01,
    "early_steps": 0.0,
    "state_noise": 0.0,
    "pairs": 256,
    "initializer": "relabelled",
    "start": None,
    "constraint": "squashed",
    "student": "kernel",
    "kernel": "ntk",
    "depth": 3,
    "bias_scale": 0.3,
    "length_scale": 1.0,
    "ridge": 0.001,
    "hidden_sizes": (256, 256, 256),
    "inner_steps": 100,
    "inner_optimizer": "sgd",
    "inner_learning_rate": 0.016,
    "inner_momentum": 0.95,
    "cloning": "presquash",
    "centred": False,
    "residual": False,
    "also_depths": (),
    "also_steps": (),
    "meta_gradient": "reverse",
    "window": 20,
    "lazy_weight": 0.0,
    "narrow_widths": (),
    "narrow_steps": (),
    "narrow_spread": 0.4,
    "outer_optimizer": "adam",
    "outer_learning_rate": 0.01,
    "outer_momentum": 0.9,
    "clip_norm": 0.0,
    "anneal": "cosine",
    "outer_steps": 4000,
    "batch_size": 1024,
    "budget_minutes": None,
    "precision": "highest",
    "checkpoint_minutes": 1.0,
    "writers": "",
    "students": 10,
    "episodes": 10,
    "curve_points": 8,
    "eval_backend": "gymnasium",
}


def test_options_and_their_defaults_are_those_of_the_first_versions():
    assert len(DEFAULTS) == 61
    defaults = settings.defaults_of(RunSettings)
    assert DEFAULTS.items() <= defaults.items()
    assert defaults.keys() - DEFAULTS.keys() == {
        "kernel_weight",
        *(f"pool_{name}" for name in ("depths", "width", "optimizer", "learning_rate")),
        *(f"pool_{name}" for name in ("age", "steps", "count", "ridge")),
    }


@pytest.mark.parametrize("student", STUDENTS)
def test_a_student_has_the_defaults_listed(student):
    own = to_options(from_options(Distillation, {"student": student}))
    defaults = settings.defaults_of(RunSettings)
    assert defaults | own == defaults | {"student": student}


def test_what_an_option_configures_stands_beside_its_default():
    tree = from_options(
        RunSettings, {"student": "mlp", "inner_steps": 5, "lazy_weight": 0.5, "temperature": 0.1}
    )
    students = tree.distillation.students
    assert isinstance(students, MLPStudents)
    assert students.recipe == MLPRecipe(steps=5)
    assert (students.lazy_weight, tree.distillation.density.temperature) == (0.5, 0.1)


def test_a_density_start_needs_density_weights():
    with pytest.raises(
        InvalidInputError, match=r"^initializer=density needs a temperature above 0$"
    ):
        from_options(RunSettings, {"initializer": "density", "temperature": 0.0})
    from_options(RunSettings, {"initializer": "density", "temperature": 0.1})


def test_records_check_themselves_however_they_are_made():
    default = RunSettings()
    for change in (
        lambda: dataclasses.replace(default.distillation, precision="half"),
        lambda: dataclasses.replace(default.distillation.start, pairs=0),
        lambda: dataclasses.replace(default.run, writers="mlflow"),
        lambda: dataclasses.replace(default.scores, episodes=0),
    ):
        with pytest.raises(InvalidInputError):
            change()


def test_drivers_work_in_the_precision_of_their_settings():
    @in_its_precision
    def driver(settings, more):
        """Words."""
        return jax.config.jax_default_matmul_precision, more

    before = jax.config.jax_default_matmul_precision
    for name in ("highest", "default"):
        assert driver(with_options(RunSettings(), precision=name), more=3) == (name, 3)
    assert jax.config.jax_default_matmul_precision == before
    assert driver.__doc__ == "Words."
