"""Where a result comes from: data, teacher, environment, seed, versions and devices."""

import dataclasses
import importlib.metadata
import platform
from typing import Any

import jax

import obd_jax
from obd_jax import environments
from obd_jax.environments import EnvironmentSpec
from obd_jax.numerics import cores
from obd_jax.types import ActionBounds, OfflineData, Teacher

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "gymnasium", "mujoco")


def provenance(
    data: OfflineData | None = None,
    teacher: Teacher | None = None,
    environment: EnvironmentSpec | None = None,
    **others: Any,
) -> dict[str, Any]:
    """The card of a result.

    Args:
        data: with source, name and hash.
        teacher: with source, name and hash.
        environment: where policies are scored.
        **others: entries of their own, such as a seed.
    """
    card: dict[str, Any] = {}
    if data is not None:
        card["data"] = dataclasses.asdict(data.provenance)
    if teacher is not None:
        card["teacher"] = dataclasses.asdict(teacher.provenance)
    if environment is not None:
        card["environment"] = environments.to_card(environment)
    bounds = action_bounds(data, environment)
    if bounds is not None:
        card["action_bounds"] = {"low": list(bounds.low), "high": list(bounds.high)}
    return {**card, **others, "software": software()}


def action_bounds(
    data: OfflineData | None, environment: EnvironmentSpec | None
) -> ActionBounds | None:
    """What actions in [-1, 1] stand for outside: the environment's bounds, or else the data's.

    None: they stand for themselves.
    """
    if environment is not None:
        return environment.action_bounds
    own = None if data is None else data.action_bounds
    return None if own is None or own.is_unit else own


def software() -> dict[str, Any]:
    """Versions of what a result depends on, and the devices and cores it ran on."""
    return {
        "obd_jax": obd_jax.__version__,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in _PACKAGES},
        "matmul_precision": getattr(jax.config, "jax_default_matmul_precision", None) or "default",
        "devices": [device.device_kind for device in jax.devices()],
        "cores": cores(),
    }
