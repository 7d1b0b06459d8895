"""Whether a teacher fits the data."""

from obd_jax.environments import same_task
from obd_jax.types import ActionBounds, InvalidInputError, OfflineData, Teacher


def check_teacher(
    teacher: Teacher, data: OfflineData, action_bounds: ActionBounds | None = None
) -> None:
    """Refuses a teacher whose observations or actions are not of the data's size, task or bounds.

    Args:
        teacher: its task and its bounds may be unknown.
        data: the same.
        action_bounds: what actions in [-1, 1] stand for; None: themselves.

    Raises:
        InvalidInputError: sizes differ, or tasks or bounds that are known do.
    """
    expected = (teacher.observation_size, teacher.action_size)
    given = (data.observation_size, data.action_size)
    if expected != given:
        raise InvalidInputError(
            f"{data.provenance.name} has {given[0]} observations and {given[1]} actions; the "
            f"teacher {teacher.provenance.name} has {expected[0]} and {expected[1]}"
        )
    own, recorded_in = teacher.provenance.environment, data.provenance.environment
    if own is not None and recorded_in is not None and not same_task(own, recorded_in):
        raise InvalidInputError(
            f"{data.provenance.name} was recorded in {recorded_in}; the teacher "
            f"{teacher.provenance.name} is of {own}"
        )
    if teacher.action_bounds not in (None, action_bounds):
        raise InvalidInputError(
            f"the teacher {teacher.provenance.name} acts in {teacher.action_bounds}; actions of "
            f"{data.provenance.name} lie in {action_bounds or '[-1, 1]'}"
        )
