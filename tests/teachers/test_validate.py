"""Whether a teacher fits the data."""

import numpy as np
import pytest

from obd_jax.data import from_arrays
from obd_jax.teachers import check_teacher
from obd_jax.types import InvalidInputError, Provenance, Teacher


def teacher(observation_size, action_size):
    def unused(*arguments):
        raise AssertionError("only sizes count")

    provenance = Provenance("test", "policy.pt", "")
    return Teacher(unused, unused, observation_size, action_size, provenance)


DATA = from_arrays(np.zeros((5, 4)), np.zeros((5, 2)))


def test_a_teacher_of_the_datas_sizes_is_accepted():
    check_teacher(teacher(4, 2), DATA)


@pytest.mark.parametrize("sizes", [(3, 2), (4, 3), (2, 4)])
def test_a_teacher_of_other_sizes_is_refused(sizes):
    message = rf"4 observations and 2 actions; .*policy\.pt has {sizes[0]} and {sizes[1]}"
    with pytest.raises(InvalidInputError, match=message):
        check_teacher(teacher(*sizes), DATA)
