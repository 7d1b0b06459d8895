"""Command lines: flags from settings, and how every command starts and ends."""

from obd_jax.cli.flags import (
    define_flags,
    given_options,
    refuse_given,
    settings_from_flags,
)
from obd_jax.cli.main import INTERRUPTED, STOPPED, run_main

__all__ = [
    "INTERRUPTED",
    "STOPPED",
    "define_flags",
    "given_options",
    "refuse_given",
    "run_main",
    "settings_from_flags",
]
