"""Named settings: the papers', and those that a student brings."""

import pytest

from obd_jax.pipeline import PRESETS, Distillation, RunSettings, preset
from obd_jax.settings import to_options, with_options
from obd_jax.types import InvalidInputError


def options(name, student="kernel", objective="av_pbc", task="walker2d"):
    return to_options(RunSettings(distillation=preset(name, student, objective, task)))


def test_the_paper_preset_is_the_papers_setting():
    # Lei et al. 2024 (arXiv 2410.22728), section 5, and its released code.
    paper = options("paper")
    expected = {
        "student": "mlp",
        "objective": "av_pbc",
        "value_scale": 0.02,
        "pairs": 256,
        "initializer": "random",
        "constraint": "free",
        "hidden_sizes": (256, 256, 256),
        "inner_steps": 100,
        "inner_optimizer": "sgd",
        "inner_learning_rate": 0.1,
        "inner_momentum": 0.0,
        "cloning": "action",
        "outer_optimizer": "sgd",
        "outer_learning_rate": 0.1,
        "outer_momentum": 0.9,
        "clip_norm": 2.0,
        "anneal": "constant",
        "outer_steps": 50_000,
        "batch_size": 10 * 256,
        "temperature": 0.0,
        "episodes": 10,
    }
    assert {name: paper[name] for name in expected} == expected


def test_the_transfer_preset_is_for_the_papers_students():
    paper, transfer = options("paper"), options("transfer")
    for name in (
        "student",
        "hidden_sizes",
        "inner_steps",
        "inner_optimizer",
        "inner_learning_rate",
        "inner_momentum",
        "cloning",
    ):
        assert transfer[name] == paper[name], name
    assert min(transfer["state_noise"], transfer["lazy_weight"]) > 0
    assert transfer["narrow_widths"]


def test_a_student_brings_its_outer_settings():
    assert options("default", "pool")["kernel_weight"] == 5.0
    kernel = with_options(Distillation(), ridge=0.01, least_return=0.33)
    assert preset("default", "kernel", "av_pbc", "walker2d") == kernel
    mlp = options("default", "mlp")
    assert (mlp["student"], mlp["outer_learning_rate"], mlp["outer_steps"]) == ("mlp", 0.02, 600)
    assert options("default", "lazy_mlp")["student"] == "lazy_mlp"


@pytest.mark.parametrize(("name", "student"), [("default", "pool"), ("transfer", "mlp")])
def test_noise_on_states_is_for_sets_with_a_teacher(name, student):
    with_teacher = options(name, student)
    assert with_teacher["state_noise"] > 0
    assert options(name, student, "dbc") == {**with_teacher, "state_noise": 0.0}


@pytest.mark.parametrize(
    ("objective", "environment", "steps"),
    [
        ("av_pbc", "halfcheetah", 50_000),
        ("av_pbc", "hopper", 20_000),
        ("pbc", "walker2d", 200_000),
        ("dbc", "hopper", 50_000),
    ],
)
def test_the_papers_outer_steps_depend_on_objective_and_environment(objective, environment, steps):
    found = options("paper", "mlp", objective, environment)
    assert found["outer_steps"] == steps
    assert found["objective"] == objective


def test_an_unknown_preset_is_refused_with_those_known():
    with pytest.raises(InvalidInputError, match="unknown preset 'fast'; known: default, paper"):
        preset("fast")
    assert all(isinstance(preset(name), Distillation) for name in PRESETS)
