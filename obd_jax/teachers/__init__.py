"""Near-expert policies with their critics."""

from obd_jax.teachers.calql import load_calql
from obd_jax.teachers.validate import check_teacher

__all__ = ["check_teacher", "load_calql"]
