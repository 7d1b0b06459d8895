"""Named settings of distillation, which options then override."""

from typing import Any

from obd_jax.pipeline.settings import Distillation
from obd_jax.settings import from_options, one_of, with_options

# What `docs/results.md` found best for kernel students, beside density weights.
_FOR_KERNELS: dict[str, Any] = {"student": "kernel", "ridge": 0.01, "least_return": 0.33}

# Where the outer settings of networks differ from the defaults, which are the kernel student's.
_FOR_MLPS: dict[str, Any] = {
    "student": "mlp",
    "outer_learning_rate": 0.02,
    "clip_norm": 1.0,
    "outer_steps": 600,
    "batch_size": 2560,
}

# The papers' students: T = 100 steps of SGD on tanh actions, and synthetic actions without bounds.
PAPER_STUDENT: dict[str, Any] = {
    "student": "mlp",
    "constraint": "free",
    "inner_learning_rate": 0.1,
    "inner_momentum": 0.0,
    "cloning": "action",
}


# For a pool, what its networks lack is what the teacher does around the data and at the start.
_FOR_POOLS: dict[str, Any] = {
    "student": "pool",
    "ridge": 0.01,
    "kernel_weight": 5.0,
    "temperature": 0.0,
    "least_return": 0.33,
    "early_steps": 50.0,
    "state_noise": 0.3,
    "clip_norm": 1.0,
    "outer_steps": 2500,
    "average": 0.25,
}


def default(student: str = "kernel") -> Distillation:
    """The default for a student."""
    tuned = {"kernel": _FOR_KERNELS, "mlp": _FOR_MLPS, "pool": _FOR_POOLS}
    own = tuned.get(student, {"student": student})
    return from_options(Distillation, own)


def paper(objective: str | None = None, task: str = "") -> Distillation:
    """Lei et al. (2024) with its release, without density weights.

    The exponent of SDW's weights, of a later paper, is not published.

    Args:
        objective: of the set; None: av_pbc.
        task: environment or data set, which decides on the number of outer steps.
    """
    short, long = (20_000, 50_000) if objective in (None, "av_pbc") else (50_000, 200_000)
    weighted = {"value_scale": 0.02} if objective in (None, "av_pbc") else {}
    return from_options(
        Distillation,
        {
            **PAPER_STUDENT,
            **weighted,
            "objective": objective or "av_pbc",
            "temperature": 0.0,
            "batch_size": 2560,
            "initializer": "random",
            "outer_optimizer": "sgd",
            "outer_learning_rate": 0.1,
            "clip_norm": 2.0,
            "anneal": "constant",
            "outer_steps": short if "hopper" in task.lower() else long,
        },
    )


def transfer() -> Distillation:
    """For a set that serves the papers' students, wider ones and ensembles."""
    return from_options(
        Distillation,
        {
            **PAPER_STUDENT,
            "state_noise": 0.15,
            "lazy_weight": 1.0,
            "narrow_widths": (64, 128),
            "narrow_steps": (2000, 600),
            "outer_learning_rate": 0.015,
            "clip_norm": 1.0,
            "outer_steps": 200,
        },
    )


PRESETS = ("default", "paper", "transfer")


def preset(
    name: str, student: str = "kernel", objective: str | None = None, task: str = ""
) -> Distillation:
    """A preset by name.

    Args:
        name: one of `PRESETS`.
        student: for "default".
        objective: of the set; for "dbc" without noise on states, which a teacher would label.
        task: for "paper".
    """
    one_of("preset", name, PRESETS)
    if name == "paper":
        return paper(objective, task)
    found = default(student) if name == "default" else transfer()
    return with_options(found, state_noise=0.0) if objective == "dbc" else found
