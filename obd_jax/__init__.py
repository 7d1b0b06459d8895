"""Offline behaviour distillation with state density weighting, in JAX.

Rooms and the names below are imported on first use, so that `import obd_jax` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # For type checkers and editors, which do not run `__getattr__`.
    from obd_jax import (
        analysis,
        artefacts,
        cli,
        data,
        density,
        distill,
        environments,
        evaluation,
        networks,
        numerics,
        optimizers,
        pipeline,
        recorded,
        reporting,
        runs,
        selection,
        settings,
        students,
        teachers,
        toy,
        types,
    )
    from obd_jax.artefacts import load as load_distilled
    from obd_jax.pipeline import Problem, Result, synthesize

__version__ = "0.2.0"

__all__ = [
    "Problem",
    "Result",
    "__version__",
    "analysis",
    "artefacts",
    "cli",
    "data",
    "density",
    "distill",
    "environments",
    "evaluation",
    "load_distilled",
    "networks",
    "numerics",
    "optimizers",
    "pipeline",
    "recorded",
    "reporting",
    "runs",
    "selection",
    "settings",
    "students",
    "synthesize",
    "teachers",
    "toy",
    "types",
]

# Public name -> where it lives: module and attribute.
_ALIASES = {
    "Problem": ("obd_jax.pipeline", "Problem"),
    "Result": ("obd_jax.pipeline", "Result"),
    "load_distilled": ("obd_jax.artefacts", "load"),
    "synthesize": ("obd_jax.pipeline", "synthesize"),
}


def __getattr__(name: str) -> Any:
    """Import a room or an alias when it is first used (PEP 562)."""
    if name in _ALIASES:
        module, attribute = _ALIASES[name]
        value = getattr(importlib.import_module(module), attribute)
        globals()[name] = value  # As the import system does for rooms: found at once next time.
        return value
    if name in __all__:
        return importlib.import_module(f"obd_jax.{name}")
    raise AttributeError(f"module 'obd_jax' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Public names only, for completion."""
    return sorted(__all__)
