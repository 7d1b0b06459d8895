"""Near-expert policies with their critics."""

from obd_jax.teachers.behavior import behavior_teacher
from obd_jax.teachers.calql import load_calql
from obd_jax.teachers.validate import check_teacher

__all__ = ["behavior_teacher", "check_teacher", "load_calql"]
