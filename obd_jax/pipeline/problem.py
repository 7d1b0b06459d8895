"""What is to be distilled: offline data, a near-expert, and where policies are scored."""

import dataclasses
import hashlib
import json
from typing import Any

import jax

import obd_jax
from obd_jax import artefacts, data, environments, teachers, toy
from obd_jax.data.cache import locked
from obd_jax.environments import NO_ENVIRONMENT, EnvironmentSettings, EnvironmentSpec
from obd_jax.evaluation import check_environment
from obd_jax.pipeline.settings import RunSettings
from obd_jax.pipeline.teacher_training import TrainingSettings, train_in
from obd_jax.reporting import Reporter
from obd_jax.settings import OptionError
from obd_jax.types import ActionBounds, InvalidInputError, OfflineData, Provenance, Teacher

TOY_TRANSITIONS = 20_000


@dataclasses.dataclass(frozen=True)
class Problem:
    """Offline data with a teacher, and an environment if there is one.

    data:        transitions in raw units, actions in [-1, 1].
    teacher:     a `Teacher`; a file; a function of raw observations [B, D] that returns actions
                 [B, A] in the environment's units; the name of an algorithm of
                 `teachers.ALGORITHMS`, which is trained on the data when the teacher is needed;
                 "none": clone the data's own actions (DBC); None: the package's teacher for
                 embedded data and the toy, no teacher for other data.
    environment: where policies are scored, an `EnvironmentSpec` or a name; None: nowhere. If no
                 reference returns are known of it, it is scored by those of the data.
    held_out:    episodes that are not in the data, to judge policies by without an environment
                 (`data.hold_out`); None: there are none.
    teacher_minutes: wall-clock at most to train the teacher on the data; None: all updates.

    Raises:
        InvalidInputError: data, teacher and environment do not fit each other: their sizes, the
            tasks that they name, or the bounds of their actions.
    """

    data: OfflineData
    teacher: Any = None
    environment: Any = None
    held_out: OfflineData | None = None
    teacher_minutes: float | None = None

    def __post_init__(self) -> None:
        environment, teacher = self.environment, self.teacher
        if isinstance(environment, str):
            environment = environment_named(environment)
        bounds = artefacts.action_bounds(self.data, environment)
        if isinstance(teacher, Teacher):
            teachers.check_teacher(teacher, self.data, bounds)
        if environment is not None:
            check_environment(environment, self.data.observation_size, self.data.action_size)
            _refuse_other_task(environment, self.data.provenance, "the data")
            _refuse_unscaled(environment, self.data)
            environment = _scored_as_recorded(environment, self.data)
        if teacher is None and self.data.provenance.source == toy.SOURCE:
            teacher = toy.teacher()
        has_teacher = teacher is not None or self.data.provenance.source == "embedded"
        if has_teacher and teacher != teachers.NONE and not self.trains_teacher:
            name = None if environment is None else environment.name
            teacher = teachers.teacher_of(teacher, self.data, name, bounds)
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
        settings = TrainingSettings(algorithm=self.teacher, minutes=self.teacher_minutes)
        trained = _trained(settings, self.data, self.environment, reporter)
        return dataclasses.replace(self, teacher=trained)


def _scored_as_recorded(environment: EnvironmentSpec, offline: OfflineData) -> EnvironmentSpec:
    """The environment, with the data's reference returns if it has none."""
    return environments.with_references(
        environment, offline.reference_returns, offline.provenance.name
    )


def _refuse_other_task(environment: EnvironmentSpec, own: Provenance, what: str) -> None:
    """Refuse data or a teacher that name another task than the one to be scored in."""
    task = environment.gymnasium_id or environment.name
    if own.environment is not None and not environments.same_task(own.environment, task):
        raise InvalidInputError(
            f"{what}, {own.name}, is for {own.environment}, but policies would be scored in {task}"
        )


def _refuse_unscaled(environment: EnvironmentSpec, offline: OfflineData) -> None:
    """Refuse data whose actions may be in the environment's units or in [-1, 1]."""
    bounds, name = environment.action_bounds, offline.provenance.name
    if bounds is not None and offline.action_bounds is None:
        raise InvalidInputError(
            f"actions of {environment.name} lie in {bounds}, but those of {name} are assumed to "
            "be in [-1, 1]: load the data with action_bounds=environments.get"
            f"({environment.name!r}).action_bounds for actions in the environment's units"
        )


def _report_unknown_task(problem: Problem, reporter: Reporter) -> None:
    """Report if it is unknown whether data, teacher and environment are of one task."""
    environment, recorded = problem.environment, problem.data.provenance
    if environment is None or recorded.source == toy.SOURCE:
        return
    task = environment.gymnasium_id or environment.name
    if recorded.environment is None:
        reporter.note(f"{recorded.name} does not name its task; assumed to be {task}")
    elif recorded.environment != task:
        reporter.note(f"recorded in {recorded.environment}, scored in {task}")
    if isinstance(problem.teacher, Teacher) and problem.teacher.provenance.environment is None:
        reporter.note(f"teacher {problem.teacher.provenance.name} does not name its task")


def _trained(
    settings: TrainingSettings, offline: OfflineData, environment: Any, reporter: Reporter
) -> Teacher:
    """A teacher trained on these very data, kept in the cache."""
    if environment is not None and environment.functional is None:
        environment = environment._replace(simulator="gymnasium")
    algorithm = settings.algorithm
    identity = json.dumps(
        [
            obd_jax.__version__,
            settings.identity,
            offline.provenance.sha256,
            # Rescaled from other bounds, the same file is other data.
            *([] if offline.action_bounds is None else [str(offline.action_bounds)]),
        ]
    )
    name = f"{algorithm}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
    folder = data.default_cache() / "teachers" / name
    with locked(folder, reporter.note):
        if not (folder / "results.json").exists():
            reporter.note(f"training {algorithm} in {folder}; the same command resumes it")
            train_in(folder, settings, environment, offline, reporter)
    reporter.note(f"teacher: {algorithm}, in {folder}")
    return teachers.load_teacher(folder / "teacher.npz")


def environment_named(chosen: EnvironmentSettings | str) -> EnvironmentSpec | None:
    """The environment that is chosen, by settings or by name, the toy's included; None: none is."""
    if isinstance(chosen, str):
        chosen = EnvironmentSettings(chosen)
    return toy.SPEC if chosen.name == toy.SPEC.name else chosen.load()


def load_data(
    settings: data.DataSettings, reporter: Reporter
) -> tuple[OfflineData, EnvironmentSpec | None]:
    """Offline data from a file or by name, and their environment; None: there shall be none.

    Raises:
        InvalidInputError: options that do not fit together, data or an environment that cannot be
            had.
    """
    named = settings.environment.name
    if (settings.dataset is None) == (settings.dataset_path is None):
        raise OptionError("give either {dataset} or {dataset_path}")
    if settings.dataset_path is not None and named is None:
        raise OptionError(
            "{dataset_path} needs {env}, the environment of the data; {env}=none runs without one"
        )
    chosen = settings.source != "auto" or settings.data_rows not in (0, data.FIRST_ROWS)
    if settings.dataset == "toy":
        bounded = settings.action_bounds is not None
        if chosen or bounded or named not in (None, NO_ENVIRONMENT):
            raise OptionError(
                "{source}, {data_rows}, {action_low} and an {env} are not for {dataset}=toy"
            )
        found = toy.offline_data(jax.random.key(0), TOY_TRANSITIONS)
        return found, toy.SPEC if named is None else None
    if settings.dataset_path is not None and chosen:
        raise OptionError("{source} and {data_rows} are for {dataset}, not {dataset_path}")
    environment = settings.environment.load()  # Refused, if need be, before anything is read.
    bounds = settings.action_bounds
    if bounds is None and environment is not None:
        bounds = environment.action_bounds
    if settings.dataset_path is not None:
        offline = data.load_file(
            settings.dataset_path,
            columns=settings.columns,
            action_bounds=bounds,
            note=reporter.note,
        )
    else:
        offline = _load_by_name(settings, bounds, reporter)
    if offline.action_bounds is not None and not offline.action_bounds.is_unit:
        reporter.note(f"actions are rescaled from {offline.action_bounds} to [-1, 1]")
    if named is None:
        if offline.provenance.environment is None:
            raise OptionError(f"{settings.dataset} does not name its environment: give {{env}}")
        environment = environments.get(offline.provenance.environment)
    if environment is not None:
        environment = _scored_as_recorded(environment, offline)
        if environment.reference_source is not None:
            reporter.note(
                f"returns {environment.reference_min:g} and {environment.reference_max:g} score 0 "
                f"and 100, by the metadata of {environment.reference_source}"
            )
    return offline, environment


def _load_by_name(
    settings: data.DataSettings, bounds: ActionBounds | None, reporter: Reporter
) -> OfflineData:
    """Data by name, as many rows as asked for where they are recorded here."""
    assert settings.dataset is not None
    source = data.resolve(settings.dataset, settings.source, reporter.note)
    rows = None
    if source == "embedded":
        rows = settings.data_rows or None
        if rows == data.FIRST_ROWS:
            reporter.note(
                f"{rows:,} rows of {settings.dataset}; --data_rows=0 records as many as D4RL has"
            )
    elif settings.data_rows not in (0, data.FIRST_ROWS):
        raise OptionError(
            f"{{data_rows}} is for embedded data, not for {settings.dataset} from {source}"
        )
    return data.load(
        settings.dataset,
        source,
        rows=rows,
        action_bounds=bounds,
        note=reporter.note,
        progress=reporter.progress,
    )


def load_problem(settings: RunSettings, reporter: Reporter) -> Problem:
    """Read data and teacher of a run; a teacher by an algorithm is trained now.

    Raises:
        InvalidInputError: the input cannot be used.
    """
    # A file is read before the data, which may take minutes to be recorded.
    chosen = settings.teacher
    teacher = chosen.load()
    offline, environment = load_data(settings.data, reporter)
    held_out, share = None, settings.offline.share(environment is not None)
    if share > 0:
        offline, held_out = data.hold_out(offline, share, settings.run.seed, reporter.note)
        reporter.note(f"{len(held_out):,} states are held out; {len(offline):,} remain")
    if environment is not None:
        environment = environments.simulated_by(environment, settings.scores.backend)
    problem = Problem(offline, teacher, environment, held_out, chosen.minutes)
    _report_unknown_task(problem, reporter)
    given = problem.teacher if isinstance(problem.teacher, Teacher) else None
    if held_out is not None and given is not None and given.provenance.source != "closed form":
        reporter.note(
            f"teacher {given.provenance.name} is not trained here: it may have seen the held-out "
            "episodes"
        )
    if isinstance(problem.teacher, Teacher) and not chosen.is_file:
        provenance = problem.teacher.provenance
        source = provenance.source.removeprefix("teacher ")  # Of "teacher by rebrac".
        reporter.note(f"teacher: {source}, {provenance.name}")
    return problem.with_teacher(reporter)
