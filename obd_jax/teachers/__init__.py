"""Near-expert policies with their critics: trained from offline data, or read from files."""

from obd_jax.teachers.algorithm import Algorithm, Batch, TrainState
from obd_jax.teachers.bundled import bundled_names, bundled_teacher
from obd_jax.teachers.cal_ql import cal_ql
from obd_jax.teachers.calibration import q_calibration
from obd_jax.teachers.choose import NONE, TEACHERS, TeacherSettings, load_file, teacher_of
from obd_jax.teachers.embedded import behavior_teacher
from obd_jax.teachers.files import load_teacher, save_teacher
from obd_jax.teachers.functions import Functions, from_function
from obd_jax.teachers.iql import iql
from obd_jax.teachers.registry import ALGORITHMS, make_algorithm
from obd_jax.teachers.released import load_calql
from obd_jax.teachers.td3 import rebrac, td3_bc
from obd_jax.teachers.train import DivergedError, Trainable, initial_state, prepare, train
from obd_jax.teachers.validate import check_teacher

__all__ = [
    "ALGORITHMS",
    "NONE",
    "TEACHERS",
    "Algorithm",
    "Batch",
    "DivergedError",
    "Functions",
    "TeacherSettings",
    "TrainState",
    "Trainable",
    "behavior_teacher",
    "bundled_names",
    "bundled_teacher",
    "cal_ql",
    "check_teacher",
    "from_function",
    "initial_state",
    "iql",
    "load_calql",
    "load_file",
    "load_teacher",
    "make_algorithm",
    "prepare",
    "q_calibration",
    "rebrac",
    "save_teacher",
    "td3_bc",
    "teacher_of",
    "train",
]
