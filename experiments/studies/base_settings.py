"""Settings that all trials of a study share, from flags."""

from obd_jax.cli import given_options, refuse_given, settings_from_flags
from obd_jax.pipeline import RunSettings, preset


def base_settings(taken: tuple[str, ...] = ()) -> RunSettings:
    """Settings of a run from the flags, over the default preset of the student.

    Args:
        taken: options that the script sets itself.

    Raises:
        InvalidInputError: one of those is given, or an option that cannot be used.
    """
    refuse_given(taken, "this script sets it itself")
    student = given_options(RunSettings).get("student", "kernel")
    return settings_from_flags(RunSettings, RunSettings(distillation=preset("default", student)))
