r"""Distil an offline RL data set into a few synthetic pairs and score students trained on them.

    obd-jax run --dataset=walker2d-medium-expert
    obd-jax run --dataset_path=hopper.hdf5 --env=hopper --teacher=hopper.pt \
        --teacher_stats=d4rl_stats.json --teacher_stats_key=hopper-medium-v2 --out=runs/hopper
    obd-jax run --config_file=runs/hopper/config.json --seed=1

The same command, with the same --out, resumes a run that was stopped.
"""

import pathlib
import sys

from absl import flags

from obd_jax import pipeline
from obd_jax.cli.flags import define_flags, given_options, read_config, settings_from_flags
from obd_jax.cli.main import run_main, show_resume_command
from obd_jax.pipeline import PRESETS, RunSettings
from obd_jax.pipeline.scores import run_summary
from obd_jax.runs import folder_of_now
from obd_jax.settings import OptionError, with_options
from obd_jax.types import DivergedError


def define_run_flags() -> None:
    """Flags of a run, and of what it is based on."""
    define_flags(RunSettings, RunSettings(distillation=pipeline.preset("default")))
    flags.DEFINE_enum("config", "default", PRESETS, "Preset of settings; flags override it.")
    flags.DEFINE_string("config_file", None, "config.json of a saved run; flags override it.")
    for name in ("config", "config_file"):
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[name])


def run_settings() -> RunSettings:
    """Settings of a run from the flags given, over a saved configuration or a preset.

    Raises:
        InvalidInputError: an option that cannot be used.
    """
    if flags.FLAGS.config_file is None:
        given = given_options(RunSettings)
        task = given.get("env") or given.get("dataset") or ""
        without_teacher = "dbc" if given.get("teacher") == "none" else None
        student, objective = given.get("student", "kernel"), given.get("objective", without_teacher)
        base = RunSettings(
            distillation=pipeline.preset(flags.FLAGS.config, student, objective, task)
        )
    else:
        if flags.FLAGS["config"].present:
            raise OptionError("give either {config} or {config_file}")
        base = read_config(flags.FLAGS.config_file, RunSettings)
    return settings_from_flags(RunSettings, base)


def main() -> None:
    """Run and print the summary."""
    settings = run_settings()
    out = pathlib.Path(settings.run.out or folder_of_now())
    try:
        with show_resume_command(out):
            results = pipeline.run(with_options(settings, out=str(out)))
    except (DivergedError, FloatingPointError) as error:
        sys.exit(f"error: {error}")
    except OSError as error:  # Of a disk that is full, most often.
        sys.exit(f"error: {error}; saved results are kept")
    print(run_summary(results, out / "distilled.npz"))


def start(about: str | None = None) -> None:
    """Run the command; `about` is the text of --help in place of this module's docstring."""
    define_run_flags()
    run_main(main, about=about or __doc__)
