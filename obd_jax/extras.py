"""Modules that are imported by name: optional packages, and the user's own."""

import importlib
import os
import sys
from types import ModuleType

from obd_jax.types import InvalidInputError


def require(module: str, extra: str, purpose: str) -> ModuleType:
    """Import a module of an optional package.

    Args:
        module: its name, like "brax" or "mujoco.mjx".
        extra: what installs it, a key of `extras_require`.
        purpose: what needs it, in the plural, like "mjx rollouts".

    Raises:
        InvalidInputError: it is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        # A package that is there may lack one of its own.
        is_absent = isinstance(error, ModuleNotFoundError) and error.name == module
        reason = "is not installed" if is_absent else f"cannot be imported ({error})"
        raise InvalidInputError(
            f"{purpose} need {module}, which {reason}: pip install 'obd-jax[{extra}]'"
        ) from error


def load_module(module: str, purpose: str) -> ModuleType:
    """Import a module of the user's, which may also lie in the working folder.

    Args:
        module: its name.
        purpose: what needs it, in the singular.

    Raises:
        InvalidInputError: there is none, or it cannot be imported.
    """
    folder = os.getcwd()
    if folder not in sys.path and "" not in sys.path:
        sys.path.append(folder)
    try:
        return importlib.import_module(module)
    except Exception as error:  # A module runs what it likes.
        absent = error.name if isinstance(error, ModuleNotFoundError) else None
        reason = (
            f"there is none in {folder} or where Python looks (PYTHONPATH)"
            if absent and f"{module}.".startswith(f"{absent}.")
            else f"it cannot be imported: {error!r}"
        )
        raise InvalidInputError(f"{purpose} needs module {module}: {reason}") from error
