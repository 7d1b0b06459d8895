"""Students that a set was not made for (generalize.py)."""

from typing import Any

# The papers' recipe: three hidden layers of 256, 100 steps of SGD at 0.1 on tanh actions.
RECIPE: dict[str, Any] = {
    "student": "mlp",
    "hidden_sizes": (256, 256, 256),
    "inner_steps": 100,
    "inner_optimizer": "sgd",
    "inner_learning_rate": 0.1,
    "inner_momentum": 0.0,
    "cloning": "action",
    "centred": False,
    "residual": False,
}
# Options of students and of how they are scored.
STUDENTS: dict[str, dict[str, Any]] = {
    "the papers' recipe": RECIPE,
    "ensembles of ten of those": {**RECIPE, "ensemble": 10, "students": 3},
    "1 hidden layer": {**RECIPE, "hidden_sizes": (256,)},
    "2 hidden layers": {**RECIPE, "hidden_sizes": (256,) * 2},
    "4 hidden layers": {**RECIPE, "hidden_sizes": (256,) * 4},
    "5 hidden layers": {**RECIPE, "hidden_sizes": (256,) * 5},
    "6 hidden layers": {**RECIPE, "hidden_sizes": (256,) * 6},
    "residual": {**RECIPE, "residual": True},
    "width 64": {**RECIPE, "hidden_sizes": (64,) * 3},
    "width 1024": {**RECIPE, "hidden_sizes": (1024,) * 3, "students": 5},
    "momentum 0.9, rate 0.01": {**RECIPE, "inner_learning_rate": 0.01, "inner_momentum": 0.9},
    "Adam 0.001": {
        **RECIPE,
        "inner_optimizer": "adam",
        "inner_learning_rate": 1e-3,
        "inner_momentum": 0.9,
    },
    "AdamW 0.001": {
        **RECIPE,
        "inner_optimizer": "adamw",
        "inner_learning_rate": 1e-3,
        "inner_momentum": 0.9,
    },
    "1,000 steps": {**RECIPE, "inner_steps": 1000},
    "centred": {**RECIPE, "centred": True},
    "kernel": {"student": "kernel", "students": 1},
}
