r"""Distil many sets of one data set in one program, over many devices, and score each of them.

    obd-jax population --dataset=walker2d-medium-expert --seeds=0,1,2,3 \
        --temperatures=0,0.05 --out=runs/population

A CPU is split into devices, as many of its cores as divide the sets equally; $JAX_NUM_CPU_DEVICES
sets another number. With --distributed, all processes of a job run this same command; see
`docs/jobs.md`. The flags of a run apply to every set. --seeds and --temperatures replace --seed and
--temperature; --budget_minutes, --start and --holdout are refused.
"""

import contextlib
import os
import pathlib
import re
import sys
import traceback
from typing import Any

import jax
import joblib
from absl import flags

from obd_jax.cli.flags import define_flags, hide_flags, refuse_given, settings_from_flags
from obd_jax.cli.main import STOPPED, run_main, show_resume_command
from obd_jax.cli.run import define_run_flags, run_settings
from obd_jax.distill.mesh import devices_for
from obd_jax.pipeline import MemberSettings, run_population
from obd_jax.pipeline.population import population_summary
from obd_jax.reporting import note
from obd_jax.settings import OptionError
from obd_jax.types import InvalidInputError

# What JAX's errors say when another process is lost.
CONNECTION = re.compile(r"Gloo|NCCL|coordination|Connection|UNAVAILABLE|DEADLINE_EXCEEDED")


def join() -> None:
    """Join the other processes of the job, as its cluster or variables of the environment say.

    Raises:
        InvalidInputError: neither says what JAX needs to know.
    """
    numbers: list[Any] = []
    for name in ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID"):
        value = os.environ.get(name)
        if value is not None and not value.isdecimal():
            raise InvalidInputError(f"${name} must be a whole number, got {value!r}")
        numbers.append(None if value is None else int(value))
    address = os.environ.get("JAX_COORDINATOR_ADDRESS")
    if address is not None and not re.search(r":\d+$", address):
        raise InvalidInputError(f"$JAX_COORDINATOR_ADDRESS must be host:port, got {address!r}")
    try:
        jax.distributed.initialize(address, *numbers)
    except ValueError as error:  # Before any connection: nothing tells JAX where the others are.
        raise OptionError(
            "{distributed} finds no job: no variable of SLURM, Open MPI, Kubernetes or a TPU VM is "
            "set. Without them, give each process $JAX_COORDINATOR_ADDRESS (host:port of the first "
            "process), $JAX_NUM_PROCESSES and $JAX_PROCESS_ID (from 0); docs/jobs.md has an "
            f"example on one machine. JAX reports: {error}"
        ) from error
    except jax.errors.JaxRuntimeError as error:
        note(str(error).splitlines()[0])
        note("error: the first process of this job cannot be reached, or others did not join")
        sys.exit(STOPPED)


def main() -> None:
    """Run and print the summary."""
    if flags.FLAGS.distributed:
        join()
    refuse_given(("curve_points", "fqe_steps"), "a population is scored once, in its environment")
    settings = run_settings()
    differ = settings_from_flags(MemberSettings)
    for name in ("seed", "temperature"):
        if flags.FLAGS[name].present and (name == "seed" or differ.temperatures is not None):
            raise OptionError(f"a population takes {{{name}s}}, not {{{name}}}")
    if not flags.FLAGS.distributed and jax.config.values["jax_num_cpu_devices"] < 0:
        members = len(differ.seeds) * len(differ.temperatures or (0,))
        jax.config.update("jax_num_cpu_devices", devices_for(members, joblib.cpu_count()))
    try:
        out = pathlib.Path(settings.run.out or "")
        writes = jax.process_index() == 0
        with show_resume_command(out) if writes else contextlib.nullcontext():
            results = run_population(settings, differ)
    except InvalidInputError:  # Whatever it says of connections, it is no loss of a process.
        raise
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        if not (flags.FLAGS.distributed and CONNECTION.search(str(error))):
            raise
        note(str(error).splitlines()[0])
        note("error: another process of this job has ended, or cannot be reached")
        sys.exit(STOPPED)
    if writes:
        print(population_summary(results, out))


def start(about: str | None = None) -> None:
    """Run the command; `about` is the text of --help in place of this module's docstring."""
    define_run_flags()
    hide_flags("seed", "budget_minutes", "start", "holdout", "curve_points", "fqe_steps")
    define_flags(MemberSettings)
    flags.DEFINE_bool("distributed", False, "Run as one of several processes of a job.")
    flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS["distributed"])
    try:
        run_main(main, about=about or __doc__)
    except BaseException as error:
        well = isinstance(error, SystemExit) and not error.code
        # Before flags are parsed, nothing is known of other processes.
        if well or not (flags.FLAGS.is_parsed() and flags.FLAGS.distributed):
            raise
        if not isinstance(error, SystemExit):
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        # An orderly end would wait for the other processes, which this one may have lost.
        code = getattr(error, "code", 1)
        os._exit(code if isinstance(code, int) else 1)
