"""Stages of distillation: students, how much of their variance counts, learning rates."""

import jax
import numpy as np
import pytest

from obd_jax.pipeline.settings import RunSettings
from obd_jax.pipeline.stages import MLPStudents, recipe_of, stages, total_steps
from obd_jax.settings import with_options
from obd_jax.students import KernelRecipe, MLPRecipe
from obd_jax.types import InvalidInputError, SyntheticData
from tests.pipeline.toy_runs import TINY


def stages_of(settings):
    return stages(settings.distillation.students, settings.distillation.outer, 2)


def test_narrow_students_are_centred_and_their_variance_counts_less():
    settings = with_options(
        TINY,
        hidden_sizes=(8, 8),
        narrow_widths=(2,),
        narrow_steps=(5,),
        lazy_weight=2.0,
        outer_learning_rate=0.1,
    )
    narrow, own = stages_of(settings)
    assert (narrow.steps, own.steps) == (5, 12)
    assert total_steps(settings.distillation.students, settings.distillation.outer) == 17
    assert narrow.spread == MLPStudents.narrow_spread < 1
    assert narrow.learning_rate == pytest.approx(0.1 * 2)
    assert (own.spread, own.learning_rate) == (1.0, 0.1)
    pairs = SyntheticData(np.ones((3, 4), np.float32), np.zeros((3, 2), np.float32))
    (weight, student), (lazy_weight, lazy) = narrow.students
    assert (weight, lazy_weight) == (1.0, 2.0)
    assert lazy.deterministic
    params = student.fit(jax.random.key(0), pairs)
    assert [leaf.shape for leaf in jax.tree.leaves(params.trained)] == [
        (2,),
        (4, 2),
        (2,),
        (2, 2),
        (2,),
        (2, 2),
    ]
    # The pairs ask for the action zero, from which a centred student starts.
    np.testing.assert_array_equal(student.act(params, pairs.observations), 0.0)


def test_a_set_serves_students_of_other_depths_and_trainings_as_well():
    settings = with_options(
        TINY,
        hidden_sizes=(8, 8),
        inner_steps=3,
        inner_learning_rate=0.5,
        narrow_widths=(2,),
        narrow_steps=(5,),
        also_depths=(1, 3),
        also_steps=(6,),
    )
    alike = with_options(settings, also_depths=(), also_steps=())
    pairs = SyntheticData(np.ones((3, 4), np.float32), np.full((3, 2), 0.5, np.float32))
    for stage, plain, width in zip(stages_of(settings), stages_of(alike), (2, 8), strict=True):
        assert [weight for weight, _ in stage.students] == [0.25] * 4
        assert stage[1:] == plain[1:]
        fitted = [student.fit(jax.random.key(0), pairs) for _, student in stage.students]
        trained = [getattr(params, "trained", params)["params"] for params in fitted]
        assert [len(params) - 1 for params in trained] == [2, 1, 3, 2]
        assert {params["Dense_0"]["kernel"].shape for params in trained} == {(4, width)}
        errors = [
            float(np.square(student.act(params, pairs.observations) - 0.5).mean())
            for (_, student), params in zip(stage.students, fitted, strict=True)
        ]
        assert errors[3] < 0.9 * errors[0]  # The same start, twice the steps.


def test_a_student_in_closed_form_has_one_stage():
    settings = RunSettings()
    (only,) = stages_of(settings)
    ((weight, student),) = only.students
    assert (weight, only.spread, only.steps, only.learning_rate) == (1.0, 1.0, 4000, 0.01)
    assert student.deterministic
    assert total_steps(settings.distillation.students, settings.distillation.outer) == 4000


def test_the_student_that_a_set_is_for_is_the_recipe():
    assert recipe_of(MLPStudents(MLPRecipe((4,)), also_depths=(2,))) == MLPRecipe((4,))
    assert recipe_of(KernelRecipe(depth=2)) == KernelRecipe(depth=2)


def test_a_pool_is_one_stage_of_the_kernel_student_and_networks_of_each_depth():
    settings = with_options(TINY, student="pool", pool_depths=(1, 3), pool_width=5, ridge=0.5)
    settings = with_options(settings, kernel_weight=2.0, pool_age=40, pool_learning_rate=0.1)
    (stage,) = stages_of(settings)
    ((weight, kernel),) = stage.students
    assert (weight, kernel.deterministic, stage.steps, stage.spread) == (2.0, True, 12, 1.0)
    assert [(member.depth, member.width) for member in stage.members] == [(1, 5), (3, 5)]
    assert {(member.max_age, member.learning_rate) for member in stage.members} == {(40, 0.1)}
    assert recipe_of(settings.distillation.students) == KernelRecipe(ridge=0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pool_depths": ()}, r"pool_depths must be positive numbers, got \(\)"),
        ({"pool_depths": (2, 0)}, r"pool_depths must be positive numbers, got \(2, 0\)"),
        ({"pool_width": 0}, "pool_width must be at least 1, got 0"),
        ({"pool_steps": 7, "pool_age": 6}, "pool_steps must be at most pool_age, 6, got 7"),
        ({"pool_ridge": -1.0}, "pool_ridge must be .*, got -1.0"),
        ({"kernel_weight": 0.0}, "kernel_weight must be positive, got 0.0"),
        ({"pool_optimizer": "lamb"}, "'lamb'; known: sgd"),
        ({"pool_learning_rate": 0.0}, "learning rate must be positive, got 0.0"),
    ],
)
def test_a_pool_refuses_numbers_out_of_range(options, message):
    with pytest.raises(InvalidInputError, match=message):
        with_options(TINY, student="pool", **options)
