"""Optional packages, which the extras of `obd-jax` install."""

import importlib
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
