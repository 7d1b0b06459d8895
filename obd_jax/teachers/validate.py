"""Whether a teacher fits the data."""

from obd_jax.types import InvalidInputError, OfflineData, Teacher


def check_teacher(teacher: Teacher, data: OfflineData) -> None:
    """Refuses a teacher whose observations or actions are not of the data's size.

    Raises:
        InvalidInputError: sizes differ.
    """
    expected = (teacher.observation_size, teacher.action_size)
    given = (data.observation_size, data.action_size)
    if expected != given:
        raise InvalidInputError(
            f"{data.provenance.name} has {given[0]} observations and {given[1]} actions; the "
            f"teacher {teacher.provenance.name} has {expected[0]} and {expected[1]}"
        )
