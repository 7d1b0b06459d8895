"""Settings that all trials of a study share, from flags."""

from obd_jax.cli import given_options, refuse_given, settings_from_flags
from obd_jax.pipeline import RunSettings, preset
from obd_jax.settings import with_options


def base_settings(taken: tuple[str, ...] = ()) -> RunSettings:
    """Settings of a run from the flags, over the default preset of the student.

    Args:
        taken: options that the script sets itself.

    Raises:
        InvalidInputError: one of those is given, or an option that cannot be used.
    """
    refuse_given(taken, "this script sets it itself")
    student = given_options(RunSettings).get("student", "kernel")
    # As in the results at hand, which are older than these defaults.
    old = {"ridge": 1e-3, "least_return": 0.0} if student == "kernel" else {}
    base = with_options(preset("default", student), density_states=200_000, **old)
    return settings_from_flags(RunSettings, RunSettings(distillation=base))
