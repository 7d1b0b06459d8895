"""What is to be distilled: offline data, a near-expert, and where policies are scored."""

import dataclasses
import hashlib
import json
from typing import Any

import jax

import obd_jax
from obd_jax import data, environments, teachers, toy
from obd_jax.data.cache import locked
from obd_jax.environments import EnvironmentSpec
from obd_jax.evaluation import check_environment
from obd_jax.pipeline.settings import RunSettings
from obd_jax.pipeline.teacher_training import TrainingSettings, train_in
from obd_jax.reporting import Reporter
from obd_jax.settings import OptionError
from obd_jax.types import InvalidInputError, OfflineData, Provenance, Teacher

TOY_TRANSITIONS = 20_000


@dataclasses.dataclass(frozen=True)
class Problem:
    """Offline data with a teacher, and an environment if there is one.

    data:        transitions in raw units.
    teacher:     a `Teacher`; a file; a function of raw observations [B, D] that returns actions
                 [B, A]; the name of an algorithm of `teachers.ALGORITHMS`, which is trained on
                 the data when it is needed; None: the package's for embedded data and the toy,
                 and none for other data, whose own actions are then cloned (DBC).
    environment: where policies are scored, a record or a name; None: nowhere.

    Raises:
        InvalidInputError: data, teacher and environment do not fit each other: their sizes, or
            the tasks that they name.
    """

    data: OfflineData
    teacher: Any = None
    environment: Any = None

    def __post_init__(self) -> None:
        environment, teacher = self.environment, self.teacher
        if isinstance(environment, str):
            environment = environment_named(environment)
        if isinstance(teacher, Teacher):
            teachers.teacher_of(teacher, self.data)  # Refuses one that does not fit.
        if environment is not None:
            check_environment(environment, self.data.observation_size, self.data.action_size)
            _refuse_other_task(environment, self.data.provenance, "the data")
        if teacher is None and self.data.provenance.source == toy.SOURCE:
            teacher = toy.teacher()
        has_teacher = teacher is not None or self.data.provenance.source == "embedded"
        if has_teacher and not self.trains_teacher:
            name = None if environment is None else environment.name
            teacher = teachers.teacher_of(teacher, self.data, name)
            if environment is not None:
                _refuse_other_task(environment, teacher.provenance, "the teacher")
        # The way of a frozen record to hold what its arguments stand for.
        object.__setattr__(self, "environment", environment)
        object.__setattr__(self, "teacher", teacher)

    @property
    def trains_teacher(self) -> bool:
        """Whether the teacher is still to be trained."""
        return isinstance(self.teacher, str) and self.teacher in teachers.ALGORITHMS

    def with_teacher(self, reporter: Reporter) -> "Problem":
        """The problem with its teacher, trained now unless the cache has it."""
        if not self.trains_teacher:
            return self
        trained = _trained(self.teacher, self.data, self.environment, reporter)
        return dataclasses.replace(self, teacher=trained)


def _refuse_other_task(environment: EnvironmentSpec, own: Provenance, what: str) -> None:
    """Refuse data or a teacher that name another task than the one to be scored in."""
    task = environment.gymnasium_id or environment.name
    if own.environment is not None and not environments.same_task(own.environment, task):
        raise InvalidInputError(
            f"{what}, {own.name}, is of {own.environment}; policies would be scored in {task}"
        )


def _say_unknown_task(problem: Problem, reporter: Reporter) -> None:
    """Say where nothing tells whether data, teacher and environment are of one task."""
    environment, recorded = problem.environment, problem.data.provenance
    task = environment.gymnasium_id or environment.name
    if recorded.source == toy.SOURCE:
        return
    if recorded.environment is None:
        reporter.note(f"{recorded.name} does not name its task; taken as {task}")
    elif recorded.environment != task:
        reporter.note(f"recorded in {recorded.environment}, scored in {task}")
    if isinstance(problem.teacher, Teacher) and problem.teacher.provenance.environment is None:
        reporter.note(f"teacher {problem.teacher.provenance.name} does not name its task")


def _trained(algorithm: str, offline: OfflineData, environment: Any, reporter: Reporter) -> Teacher:
    """A teacher trained on these very data, kept in the cache."""
    if environment is not None and environment.functional is None:
        environment = environment._replace(simulator="gymnasium")
    settings = TrainingSettings(algorithm=algorithm)
    lasting = {k: v for k, v in dataclasses.asdict(settings).items() if k != "checkpoint_minutes"}
    identity = json.dumps([obd_jax.__version__, lasting, offline.provenance.sha256])
    name = f"{algorithm}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
    folder = data.default_cache() / "teachers" / name
    with locked(folder, reporter.note):
        if not (folder / "results.json").exists():
            reporter.note(f"trains {algorithm}, kept in {folder}; the same command resumes it")
            train_in(folder, settings, environment, offline, reporter)
    reporter.note(f"teacher: {algorithm}, in {folder}")
    return teachers.load_teacher(folder / "teacher.npz")


def environment_named(name: str) -> EnvironmentSpec:
    """The environment of a name, the toy's included."""
    return toy.SPEC if name == toy.SPEC.name else environments.get(name)


def load_data(settings: data.DataSettings, reporter: Reporter) -> OfflineData:
    """Offline data from a file or by name.

    Raises:
        InvalidInputError: options that do not fit together, or data that cannot be had.
    """
    if (settings.dataset is None) == (settings.dataset_path is None):
        raise OptionError("give either {dataset} or {dataset_path}")
    if settings.dataset_path is not None and settings.env is None:
        raise OptionError("{dataset_path} needs {env}, the environment of the data")
    if settings.env is not None:
        environments.get(settings.env)  # Refuses an unknown one before anything is read.
    chosen = settings.source != "auto" or settings.data_rows not in (0, data.FIRST_ROWS)
    if settings.dataset == "toy":
        if chosen or settings.env is not None:
            raise OptionError("{source}, {data_rows} and {env} are not for {dataset}=toy")
        return toy.offline_data(jax.random.key(0), TOY_TRANSITIONS)
    if settings.dataset is not None:
        return _load_by_name(settings, reporter)
    if chosen:
        raise OptionError("{source} and {data_rows} are for {dataset}, not {dataset_path}")
    assert settings.dataset_path is not None
    return data.load_file(settings.dataset_path, note=reporter.note)


def _load_by_name(settings: data.DataSettings, reporter: Reporter) -> OfflineData:
    """Data by name, as many rows as asked for where they are recorded here."""
    assert settings.dataset is not None
    source = data.resolve(settings.dataset, settings.source, reporter.note)
    if source == "embedded":
        if settings.data_rows == data.FIRST_ROWS:
            reporter.note(
                f"{data.FIRST_ROWS:,} rows of {settings.dataset}; --data_rows=0 records as many as "
                "D4RL has"
            )
        rows = settings.data_rows or None
    elif settings.data_rows not in (0, data.FIRST_ROWS):
        raise OptionError(
            f"{{data_rows}} is for embedded data, not for {settings.dataset} from {source}"
        )
    else:
        rows = None
    return data.load(
        settings.dataset, source, rows=rows, note=reporter.note, progress=reporter.progress
    )


def environment_of(settings: data.DataSettings, offline: OfflineData) -> EnvironmentSpec:
    """The environment given, else the one that the data name."""
    if settings.dataset == "toy":
        return toy.SPEC
    name = settings.env or offline.provenance.environment
    if name is None:
        raise OptionError(f"{settings.dataset} does not name its environment: give {{env}}")
    return environments.get(name)


def load_problem(settings: RunSettings, reporter: Reporter) -> Problem:
    """Read data and teacher of a run; a teacher by an algorithm is trained now.

    Raises:
        InvalidInputError: the input cannot be used.
    """
    # A file is read before the data, which may take minutes to be recorded.
    chosen = settings.teacher
    teacher: Any = chosen.load() if chosen.is_file else chosen.teacher
    offline = load_data(settings.data, reporter)
    recorded = environment_of(settings.data, offline)
    environment = environments.simulated_by(recorded, settings.scores.backend)
    problem = Problem(offline, teacher, environment)
    _say_unknown_task(problem, reporter)
    if isinstance(problem.teacher, Teacher) and not chosen.is_file:
        provenance = problem.teacher.provenance
        reporter.note(f"teacher: {provenance.source}, {provenance.name}")
    return problem.with_teacher(reporter)
