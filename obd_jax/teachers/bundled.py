"""The teachers that come with the package, one for each embedded data set that has one."""

import dataclasses
import pathlib

from obd_jax.teachers.files import load_teacher
from obd_jax.types import InvalidInputError, Teacher

_FOLDER = pathlib.Path(__file__).with_name("weights")


def bundled_names() -> list[str]:
    """Data sets whose teacher comes with the package, like `walker2d-medium-expert`."""
    return sorted(path.stem for path in _FOLDER.glob("*.npz"))


def bundled_teacher(name: str) -> Teacher:
    """The teacher trained on an embedded data set of D4RL's size and seed 0 (docs/teachers.md).

    Raises:
        InvalidInputError: a data set without one; the message lists those with.
    """
    if name not in bundled_names():
        raise InvalidInputError(
            f"the package has no teacher for {name!r}; it has teachers for "
            f"{', '.join(bundled_names())}"
        )
    teacher = load_teacher(_FOLDER / f"{name}.npz")
    return teacher._replace(
        provenance=dataclasses.replace(teacher.provenance, name=f"bundled {name}")
    )
