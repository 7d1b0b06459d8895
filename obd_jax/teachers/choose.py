"""Teachers of any kind: a record, a file, a function, or a name."""

import dataclasses
import os
import pathlib
from typing import Any

from obd_jax.settings import OptionError, option, positive
from obd_jax.teachers.bundled import bundled_names, bundled_teacher
from obd_jax.teachers.embedded import behavior_teacher
from obd_jax.teachers.files import load_teacher
from obd_jax.teachers.functions import Functions, from_function, imported, is_import
from obd_jax.teachers.onnx import load_onnx
from obd_jax.teachers.registry import ALGORITHMS
from obd_jax.teachers.released import load_calql
from obd_jax.teachers.validate import check_teacher
from obd_jax.types import ActionBounds, InvalidInputError, OfflineData, Teacher

# Teachers that need no file: those of the package, those trained on the data, and no teacher.
BUNDLED, BEHAVIOR, NONE = "bundled", "behavior", "none"
TEACHERS = (BUNDLED, BEHAVIOR, *ALGORITHMS, NONE)


@dataclasses.dataclass(frozen=True)
class TeacherSettings:
    """Which near-expert.

    teacher:   one of `TEACHERS`, a file, or `module:function`; None: the package's, for embedded
               data.
    value:     `module:function` of its critic.
    stats:     JSON file with the state mean and std of a released teacher.
    stats_key: its entry.
    minutes:   wall-clock at most of a training on the data; None: all updates.
    """

    teacher: str | None = option(
        None,
        f"The near-expert policy. {BUNDLED}: the package's teacher for these embedded data; "
        f"{BEHAVIOR}: the package's expert, without a critic; {', '.join(ALGORITHMS)}: trained on "
        "the data; a file: .npz of train_teacher.py, .pt of a released Cal-QL policy, or .onnx; "
        "my_module:policy: a function of raw observations [B, D] that returns actions [B, A] in "
        f"the environment's units; {NONE}: clone the data's own actions. Absent, for embedded "
        f"data: {BUNDLED} if the package has it, else {BEHAVIOR}.",
    )
    value: str | None = option(
        None,
        "Critic of a teacher my_module:policy: my_module:value, a function of raw observations "
        "[B, D] and actions [B, A] that returns values [B].",
        "teacher_value",
    )
    stats: str | None = option(
        None, "JSON file with the state mean and std of a released teacher.", "teacher_stats"
    )
    stats_key: str | None = option(None, "Entry of the teacher in that file.", "teacher_stats_key")
    minutes: float | None = option(
        None,
        "Maximum wall-clock minutes to train a teacher on the data, with settings for "
        "short trainings. Absent: 100,000 updates.",
        "teacher_minutes",
    )

    def __post_init__(self) -> None:
        if self.value is not None and not (self.teacher and is_import(self.teacher)):
            raise OptionError(
                "{teacher_value} is for a {teacher} that is my_module:function, got "
                f"{{teacher}}={self.teacher}"
            )
        positive(teacher_minutes=self.minutes)
        if self.minutes is not None and self.teacher not in ALGORITHMS:
            raise OptionError(
                f"{{teacher_minutes}} is for a {{teacher}} that is trained on the data, one of "
                f"{', '.join(ALGORITHMS)}; got {{teacher}}={self.teacher}"
            )

    @property
    def is_file(self) -> bool:
        """Whether the teacher is read from a file."""
        named = self.teacher is None or self.teacher in TEACHERS
        return not named and not is_import(str(self.teacher))

    def load(self) -> Any:
        """What `teacher_of` takes: read from its file, imported, or its name.

        Raises:
            InvalidInputError: it cannot be read or imported.
        """
        if self.teacher is None or self.teacher in TEACHERS:
            return self.teacher
        if self.is_file:
            return load_file(self.teacher, self.stats, self.stats_key)
        value = None if self.value is None else imported(self.value)
        return Functions(imported(self.teacher), value)


def load_file(
    path: str | os.PathLike, stats: str | None = None, stats_key: str | None = None
) -> Teacher | Functions:
    """A teacher from a file, by its suffix.

    Args:
        path: an .npz file of `save_teacher`, a .pt file of a released Cal-QL, or an .onnx file.
        stats: of a .pt file: JSON file with the state mean and std.
        stats_key: entry of that file.

    Raises:
        InvalidInputError: another suffix, no statistics, or a file that cannot be used.
    """
    suffix = pathlib.Path(path).suffix
    if suffix == ".npz":
        return load_teacher(path)
    if suffix == ".onnx":
        return load_onnx(path)
    if suffix == ".zip":
        raise InvalidInputError(
            f"{os.fspath(path)}: a model of Stable-Baselines3 needs PyTorch to be read: give a "
            "function, my_module:policy, that returns model.predict(observations, "
            "deterministic=True)[0], or export its policy to ONNX"
        )
    if suffix != ".pt":
        raise InvalidInputError(
            f"unknown teacher {os.fspath(path)!r}; known: {', '.join(TEACHERS)}, an .npz file of "
            "train_teacher.py, a .pt file of Cal-QL, an .onnx file, a function my_module:policy"
        )
    if not (stats and stats_key):
        raise OptionError(
            "a released teacher needs {teacher_stats} and {teacher_stats_key} with {teacher}"
        )
    return load_calql(path, stats, stats_key)


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
            raise OptionError(f"the package has no teacher for {data.provenance.name}")
        if given == BUNDLED:
            raise OptionError(f"{{teacher}}={BUNDLED} is for embedded data")
    name = data.provenance.name.split(",")[0]
    if given == BUNDLED or (given is None and name in bundled_names()):
        return bundled_teacher(name)
    if environment is None:
        raise OptionError(f"{data.provenance.name} does not name its environment: give {{env}}")
    return behavior_teacher(environment)


def teacher_of(
    given: Any,
    data: OfflineData,
    environment: str | None = None,
    action_bounds: ActionBounds | None = None,
) -> Teacher:
    """A teacher that fits the data.

    Args:
        given: a record, a file, a function of raw observations, "bundled" or "behavior"; None: the
            package's for embedded data.
        data: the offline data.
        environment: their environment's name, for the package's teachers.
        action_bounds: what actions in [-1, 1] stand for; None: themselves.

    Raises:
        InvalidInputError: it cannot be read or does not fit the data.
    """
    if isinstance(given, str | os.PathLike) and given not in (BUNDLED, BEHAVIOR):
        given = load_file(given)
    if isinstance(given, Teacher):
        teacher = given
    elif isinstance(given, Functions):
        teacher = from_function(given.act, data, given.value, action_bounds, given.provenance)
    elif given is None or isinstance(given, str):
        teacher = _of_package(given, data, environment)
    elif callable(given):
        teacher = from_function(given, data, None, action_bounds)
    else:
        raise InvalidInputError(
            "a teacher is a Teacher, a file, a function of observations, or one of "
            f"{', '.join(TEACHERS)}; got {type(given).__name__}"
        )
    check_teacher(teacher, data, action_bounds)
    return teacher
