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
from tests.pipeline.first_versions import DEFAULTS


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


def test_options_and_their_defaults_are_those_of_the_first_versions():
    assert len(DEFAULTS) == 61
    defaults = settings.defaults_of(RunSettings)
    assert DEFAULTS.items() <= defaults.items()
    assert defaults.keys() - DEFAULTS.keys() == {
        *("columns", "action_low", "action_high", "env_kwargs", "reference_returns"),
        *("teacher_value", "teacher_minutes", "holdout", "fqe_steps"),
        "kernel_weight",
        "average",
        *(f"pool_{name}" for name in ("depths", "width", "optimizer", "learning_rate")),
        *(f"pool_{name}" for name in ("age", "steps", "count", "ridge", "unroll")),
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
