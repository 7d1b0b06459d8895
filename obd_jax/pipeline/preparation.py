"""What a distillation starts from, all of it checked."""

import functools
import pathlib
from typing import Any, NamedTuple

import jax

from obd_jax import artefacts, data, distill, students, teachers
from obd_jax.environments import EnvironmentSpec
from obd_jax.pipeline.problem import Problem
from obd_jax.pipeline.settings import Distillation
from obd_jax.pipeline.stages import recipe_of
from obd_jax.reporting import Reporter
from obd_jax.settings import OptionError
from obd_jax.students import Recipe
from obd_jax.types import (
    InvalidInputError,
    Key,
    Normalizer,
    OfflineData,
    Student,
    SyntheticData,
    Targets,
    Teacher,
)


class Prepared(NamedTuple):
    """A problem, ready to be distilled.

    environment: where policies are scored; None: nowhere.
    data:        all of them; the normalizer is theirs.
    kept:        the part that is distilled, M transitions.
    teacher:     pi*, and q* if it has one; None: the data's own actions are cloned.
    normalizer:  of observations.
    own:         the data's own actions on the states distilled, [M].
    recipe:      of the student that the set is for.
    student:     that student.
    held_out:    episodes to judge policies by without an environment; None: there are none.
    keys:        one for each thing that is random.
    start:       the set to start from; None: real pairs.
    constant:    observation columns that do not vary; they are centred, not scaled up.
    """

    environment: EnvironmentSpec | None
    data: OfflineData
    kept: OfflineData
    teacher: Teacher | None
    normalizer: Normalizer
    own: Targets
    recipe: Recipe
    student: Student
    held_out: OfflineData | None
    keys: dict[str, Key]
    start: SyntheticData | None
    constant: list[int]


def split_key(key: Key) -> dict[str, Key]:
    """One key for each thing that is random."""
    names = ("density", "initial", "random_real", "distil", "students", "noise")
    return dict(zip(names, jax.random.split(key, len(names)), strict=True))


@functools.cache
def make_student(recipe: Recipe, action_size: int) -> Student:
    """The recipe's student, the same one every time, so that it is compiled once."""
    return recipe.student(action_size)


def prepare(key: Key, problem: Problem, settings: Distillation, reporter: Reporter) -> Prepared:
    """Check and load, before anything is written, what a distillation starts from.

    Raises:
        InvalidInputError: problem and settings do not fit each other.
    """
    problem = problem.with_teacher(reporter)
    teacher = None if problem.teacher == teachers.NONE else problem.teacher
    if problem.teacher is None and settings.objective.name is None:
        raise OptionError(
            "a near-expert policy is needed: {teacher} takes an algorithm that is trained on the "
            "data (rebrac, td3_bc, iql, cal_ql), a file or a function; {objective}=dbc needs "
            "none, like {teacher}=none, and clones the data's own actions"
        )
    settings.objective.chosen(teacher)  # Refuses an objective that needs one, if none is there.
    offline, least = problem.data, settings.objective.least_return
    kept = offline
    if least > 0 and not offline.rewards.any():
        reporter.note("all rewards are 0, so all episodes are distilled")
    elif least > 0:
        kept = data.best_episodes(offline, least)
        reporter.note(
            f"distilling {len(kept):,} of {len(offline):,} states, those of good episodes"
        )
    start = settings.start
    if start.start is None and start.pairs > len(kept):
        raise OptionError(
            f"{{pairs}} must be between 1 and the {len(kept)} states distilled, got {start.pairs}"
            + ("; {least_return}=0 distils all" if len(kept) < len(offline) else "")
        )
    normalizer = data.normalizer(offline.observations)
    constant = data.constant_columns(offline.observations).tolist()
    if constant:
        reporter.note(f"constant observation columns {constant}: centred, not scaled")
    recipe = recipe_of(settings.students)
    return Prepared(
        problem.environment,
        offline,
        kept,
        teacher,
        normalizer,
        distill.dbc(kept, normalizer),
        recipe,
        make_student(recipe, offline.action_size),
        problem.held_out,
        split_key(key),
        None if start.start is None else load_start(start.start, offline, normalizer),
        constant,
    )


def load_start(path: str, offline: OfflineData, normalizer: Normalizer) -> SyntheticData:
    """A distilled set to start from, in the normalisation of the data at hand."""
    found = artefacts.load(pathlib.Path(path))
    sizes = tuple(array.shape[1] for array in found.synthetic)
    if sizes != (offline.observation_size, offline.action_size):
        raise InvalidInputError(
            f"start {path} has {sizes[0]} observations and {sizes[1]} actions; the data has "
            f"{offline.observation_size} and {offline.action_size}"
        )
    raw = found.normalizer.denormalize(found.synthetic.observations)
    return found.synthetic._replace(observations=normalizer.normalize(raw))


def input_hashes(prepared: Prepared) -> dict[str, str | None]:
    """What a set depends on beside its settings."""
    return {
        "SHA-256 of the data": prepared.data.provenance.sha256,
        "SHA-256 of the teacher": prepared.teacher and prepared.teacher.provenance.sha256,
    }


def set_card(
    prepared: Prepared,
    config: dict[str, Any],
    objective: str,
    density: dict[str, Any] | None,
    **others: Any,
) -> dict[str, Any]:
    """The card of a distilled set.

    Args:
        prepared: what it was distilled from.
        config: options that it was distilled with.
        objective: its name.
        density: what is recorded of the state density.
        **others: further entries of its provenance, such as the seed.
    """
    return {
        "provenance": artefacts.provenance(
            prepared.data, prepared.teacher, prepared.environment, **others
        ),
        "config": config,
        "objective": objective,
        "density": density,
        "student": students.to_card(prepared.recipe),
        "constant_columns": prepared.constant,
    }
