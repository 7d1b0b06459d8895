"""Teachers of any kind: a record, a file, a function, or a name."""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from obd_jax.settings import OptionError, option
from obd_jax.teachers.bundled import bundled_names, bundled_teacher
from obd_jax.teachers.embedded import behavior_teacher
from obd_jax.teachers.files import load_teacher
from obd_jax.teachers.registry import ALGORITHMS
from obd_jax.teachers.released import load_calql
from obd_jax.teachers.validate import check_teacher
from obd_jax.types import InvalidInputError, OfflineData, Provenance, Teacher

# Teachers that need no file: those of the package, and those trained on the data.
BUNDLED, BEHAVIOR = "bundled", "behavior"
TEACHERS = (BUNDLED, BEHAVIOR, *ALGORITHMS)

# States that a function is called with once, to see what it does and to tell it from another.
_PROBE = 256


@dataclasses.dataclass(frozen=True)
class TeacherSettings:
    """Which near-expert.

    teacher:   one of `TEACHERS`, or a file; None: the package's, for embedded data.
    stats:     JSON file with the state mean and std of a released teacher.
    stats_key: its entry.
    """

    teacher: str | None = option(
        None,
        f"The near-expert. {BUNDLED}: the package's for these embedded data; {BEHAVIOR}: the "
        f"package's expert, without a critic; {', '.join(ALGORITHMS)}: trained on the "
        "data; or a file, .npz of train_teacher.py or .pt of a released Cal-QL. Absent: for "
        "embedded data the first of these that there is.",
    )
    stats: str | None = option(
        None, "JSON file with a released teacher's state mean and std.", "teacher_stats"
    )
    stats_key: str | None = option(None, "Entry of that file.", "teacher_stats_key")

    @property
    def is_file(self) -> bool:
        """Whether the teacher is read from a file."""
        return self.teacher is not None and self.teacher not in TEACHERS

    def load(self) -> Teacher:
        """The teacher from its file."""
        assert self.teacher is not None
        return load_file(self.teacher, self.stats, self.stats_key)


def load_file(
    path: str | os.PathLike, stats: str | None = None, stats_key: str | None = None
) -> Teacher:
    """A teacher from a file, by its suffix.

    Args:
        path: an .npz file of `save_teacher`, or a .pt file of a released Cal-QL.
        stats: of the latter: JSON file with the state mean and std.
        stats_key: entry of that file.

    Raises:
        InvalidInputError: another suffix, no statistics, or a file that cannot be used.
    """
    suffix = pathlib.Path(path).suffix
    if suffix == ".npz":
        return load_teacher(path)
    if suffix != ".pt":
        raise InvalidInputError(
            f"unknown teacher {os.fspath(path)!r}; known: {', '.join(TEACHERS)}, an .npz file of "
            "train_teacher.py, a .pt file of Cal-QL"
        )
    if not (stats and stats_key):
        raise OptionError(
            "a released teacher needs {teacher_stats} and {teacher_stats_key} with {teacher}"
        )
    return load_calql(path, stats, stats_key)


def from_function(
    act: Callable[[Any], Any],
    data: OfflineData,
    value: Callable[[Any, Any], Any] | None = None,
) -> Teacher:
    """A function as a teacher, in JAX, NumPy or another framework.

    Args:
        act: raw observations [B, D] -> actions [B, A] in [-1, 1].
        data: that it is called with: a first look refuses wrong shapes and values.
        value: (raw observations [B, D], actions [B, A]) -> [B] discounted return; None: no critic.

    Raises:
        InvalidInputError: actions or values of another shape, out of bounds or not finite.
    """
    states = data.observations[:_PROBE]
    name = getattr(act, "__qualname__", type(act).__name__)
    actions = np.asarray(act(states))
    expected = (len(states), data.action_size)
    if actions.shape != expected:
        raise InvalidInputError(
            f"teacher {name}: actions of shape {actions.shape} for {len(states)} states; the data "
            f"need {expected}"
        )
    if not (np.isfinite(actions).all() and np.abs(actions).max() <= 1 + 1e-6):
        raise InvalidInputError(
            f"teacher {name}: actions must be finite and lie in [-1, 1]; they range from "
            f"{actions.min():.6g} to {actions.max():.6g}"
        )
    digest = hashlib.sha256(np.float32(actions).tobytes())
    if value is not None:
        values = np.asarray(value(states, actions))
        if values.shape != (len(states),):
            raise InvalidInputError(
                f"teacher {name}: values of shape {values.shape} for {len(states)} states"
            )
        digest.update(np.float32(values).tobytes())
    provenance = Provenance("function", name, digest.hexdigest(), data.provenance.environment)
    return Teacher(act, value, data.observation_size, data.action_size, provenance)


def _of_package(given: str | None, data: OfflineData, environment: str | None) -> Teacher:
    """The package's teacher for embedded data.

    Args:
        given: one of "bundled" and "behavior"; None: the first of these that there is.
        data: that the package has recorded.
        environment: of the data.

    Raises:
        InvalidInputError: other data, or data without such a teacher.
    """
    if data.provenance.source != "embedded":
        if given is None:
            raise OptionError(f"{data.provenance.name} has no teacher of the package's")
        if given == BUNDLED:
            raise OptionError(f"{{teacher}}={BUNDLED} is for embedded data")
    name = data.provenance.name.split(",")[0]
    if given == BUNDLED or (given is None and name in bundled_names()):
        return bundled_teacher(name)
    if environment is None:
        raise OptionError(f"{data.provenance.name} does not name its environment: give {{env}}")
    return behavior_teacher(environment)


def teacher_of(given: Any, data: OfflineData, environment: str | None = None) -> Teacher:
    """A teacher that fits the data.

    Args:
        given: a record, a file, a function of raw observations, "bundled" or "behavior"; None: the
            package's for embedded data.
        data: the offline data.
        environment: their environment's name, for the package's teachers.

    Raises:
        InvalidInputError: it cannot be read or does not fit the data.
    """
    if isinstance(given, Teacher):
        teacher = given
    elif given is None or given in (BUNDLED, BEHAVIOR):
        teacher = _of_package(given, data, environment)
    elif isinstance(given, str | os.PathLike):
        teacher = load_file(given)
    elif callable(given):
        teacher = from_function(given, data)
    else:
        raise InvalidInputError(
            "a teacher is a record, a file, a function of observations, or one of "
            f"{', '.join(TEACHERS)}; got {type(given).__name__}"
        )
    check_teacher(teacher, data)
    return teacher
