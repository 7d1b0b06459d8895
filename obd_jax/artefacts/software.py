"""Versions and devices behind a result."""

import importlib.metadata
import platform
from typing import Any

import jax

import obd_jax

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "gymnasium", "mujoco")


def software() -> dict[str, Any]:
    """Versions of what a result depends on, and the devices it ran on."""
    return {
        "obd_jax": obd_jax.__version__,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in _PACKAGES},
        "matmul_precision": getattr(jax.config, "jax_default_matmul_precision", None) or "default",
        "devices": [device.device_kind for device in jax.devices()],
    }
