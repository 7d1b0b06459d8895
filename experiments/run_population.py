"""Distil many sets of one data set in one program, over many devices, and score each of them.

    python experiments/run_population.py --dataset=walker2d-medium-expert --seeds=0,1,2,3 \
        --temperatures=0,0.05 --out=runs/population

A CPU is split into devices, one for each of its cores as far as they share the sets equally, unless
$JAX_NUM_CPU_DEVICES says how many. With --distributed, all processes of a job run this same
command; see `docs/jobs.md`. All flags of `run_sdw.py` hold for every member, but for those that the
lists replace.
"""

import contextlib
import dataclasses
import itertools
import os
import pathlib
import re
import sys
import traceback
from typing import Any

import jax
import jax.numpy as jnp
import joblib
import numpy as np
from absl import flags
from config import FREE, PRESETS, Config, check, preset, stages, writers_of
from resume import says_how_to_go_on
from scoring import FINAL_SEED, score, score_teacher
from setup_run import (
    Goal,
    Setup,
    inputs_of,
    make_goal,
    prepare,
    split_seed,
    surround,
)
from together import distil_together

from obd_jax import artefacts, distill, evaluation, students
from obd_jax.command_line import (
    STOPPED,
    Clock,
    Progress,
    config_from_flags,
    define_flags,
    note,
    run_main,
)
from obd_jax.types import InvalidInputError, SyntheticData

# What JAX's errors say then.
CONNECTION = re.compile(r"Gloo|NCCL|coordination|Connection|UNAVAILABLE|DEADLINE_EXCEEDED")


def members_of(config: Config, seeds: list[int], temperatures: list[float]) -> list[Config]:
    """Configurations of all members: every seed with every temperature."""
    if not seeds or not temperatures:
        raise InvalidInputError("--seeds and --temperatures need at least one number each")
    if config.budget_minutes is not None:
        raise InvalidInputError("a population has no --budget_minutes; give --outer_steps")
    if config.start is not None:
        raise InvalidInputError("a population has no --start")
    for name, values in (("seeds", seeds), ("temperatures", temperatures)):
        if len({*values}) < len(values):
            raise InvalidInputError(f"--{name} must differ from each other, got {values}")
    members = [
        dataclasses.replace(config, seed=seed, temperature=temperature)
        for seed, temperature in itertools.product(seeds, temperatures)
    ]
    for member in members:
        check(member)
    return members


def name_of(member: Config) -> str:
    """The member's folder."""
    return f"seed-{member.seed}-temperature-{member.temperature:g}"


def run(config: Config, seeds: list[int], temperatures: list[float]) -> dict[str, Any]:
    """Distil and score all members; process 0 writes. Returns the content of `results.json`.

    Raises:
        InvalidInputError: the input cannot be used; nothing has been written.
    """
    members = members_of(config, seeds, temperatures)
    with jax.default_matmul_precision(config.precision):
        return run_precisely(members)


def run_precisely(members: list[Config]) -> dict[str, Any]:
    """The run, in the precision that is set."""
    first = members[0]
    if first.out is None:
        raise InvalidInputError("--out is required: the folder of the sets")
    out = pathlib.Path(first.out)
    writes = jax.process_index() == 0
    settings = {
        **dataclasses.asdict(first),
        # In their order, which is that of the states in checkpoints.
        "seeds": [*dict.fromkeys(member.seed for member in members)],
        "temperatures": [*dict.fromkeys(member.temperature for member in members)],
    }
    if writes:
        artefacts.refuse_unusable(out, settings, FREE)
    devices = jax.devices()
    if jax.process_count() == 1:
        used = distill.devices_for(len(members), len(devices))
        if used < len(devices):
            note(f"{used} of {len(devices)} devices share the {len(members)} sets equally")
        devices = devices[:used]
    mesh = distill.device_mesh(devices)
    if len(members) % mesh.size:
        raise InvalidInputError(
            f"{len(members)} sets cannot be shared equally by {mesh.size} devices"
        )
    clock = Clock()
    with clock("load"):
        setup = prepare(first)
    with contextlib.ExitStack() as stack:
        folder = None
        if writes:
            folder = stack.enter_context(
                artefacts.RunFolder(out, settings, inputs_of(setup), FREE, writers_of(first))
            )
            stack.enter_context(says_how_to_go_on(out))
        goals = make_goals(members, setup, clock)
        total = sum(part.steps for part in stages(first, setup.data.action_size))
        progress = Progress("distil, step")

        def report(record: dict[str, Any]) -> None:
            if folder is not None:
                folder.add_metrics(record)
                known = [loss for loss in record["loss"] if loss is not None]
                losses = f"losses {min(known):.4f} to {max(known):.4f}" if known else "no loss"
                progress(record["step"], total, note=losses)

        states, last = distil_together(
            members,
            setup,
            goals,
            mesh,
            None if folder is None else folder.path,
            report,
            lambda step: None if folder is None else folder.cut_metrics(step),
        )
        clock.seconds["distil"] = last["seconds"]
        if folder is not None:
            save_members(members, setup, goals, states.synthetic, out / "sets")
        with clock("evaluate"):
            returns = score_members(members, setup, states.synthetic)
        results = {
            "returns": {"teacher": evaluation.summarize(score_teacher(setup))},
            "members": [
                {
                    "name": name_of(member),
                    "seed": member.seed,
                    "temperature": member.temperature,
                    "loss": last["loss"][i],
                    "skipped": last["skipped"][i],
                    "returns": {"synthetic": None if own is None else evaluation.summarize(own)},
                }
                for i, (member, own) in enumerate(zip(members, returns, strict=True))
            ],
            "unit": setup.environment.unit,
            "seconds": clock.seconds,
            "outer_steps": last["step"],
            "devices": mesh.size,
            "processes": jax.process_count(),
            **card_of(first, setup, goals[0]),
        }
        if folder is not None:
            folder.finish(results)
            print(summary(results, out))
    return results


def make_goals(members: list[Config], setup: Setup, clock: Clock) -> list[Goal]:
    """Every member's objective; the density is fitted once, by the first member's seed."""
    known: dict[Any, Any] = {}
    goal = make_goal(members[0], setup, clock, known)
    by_temperature = {
        temperature: surround(
            dataclasses.replace(members[0], temperature=temperature),
            setup,
            goal,
            clock,
            known=known,
        )
        for temperature in dict.fromkeys(member.temperature for member in members)
    }
    return [by_temperature[member.temperature] for member in members]


def save_members(
    members: list[Config], setup: Setup, goals: list[Goal], sets: SyntheticData, folder: Any
) -> None:
    """Write every member's set into a folder of its own."""
    for i, (member, goal) in enumerate(zip(members, goals, strict=True)):
        synthetic = jax.tree.map(lambda leaf, i=i: jnp.asarray(leaf[i]), sets)
        place = folder / name_of(member)
        place.mkdir(parents=True, exist_ok=True)
        card = card_of(member, setup, goal)
        artefacts.save(place, artefacts.DistilledSet(synthetic, setup.normalizer, card))


def score_members(
    members: list[Config], setup: Setup, sets: SyntheticData
) -> list[np.ndarray | None]:
    """Returns [K, E] of each member, None where its student diverges.

    Every process scores its share of the members.
    """
    first = members[0]
    shape = (first.students, first.episodes)
    if setup.student.deterministic:
        shape = (1, first.students * first.episodes)
    found = np.zeros((len(members), *shape))
    for i in range(jax.process_index(), len(members), jax.process_count()):
        own = setup._replace(keys=split_seed(members[i].seed))
        synthetic = jax.tree.map(lambda leaf, i=i: jnp.asarray(leaf[i]), sets)
        try:
            found[i] = score(
                own, name_of(members[i]), synthetic, first.students, first.episodes, FINAL_SEED
            )
        except evaluation.NotFiniteError as error:
            note(f"{name_of(members[i])}: {error}")
            found[i] = np.nan
    return [None if np.isnan(own).any() else own for own in distill.sum_over_processes(found)]


def card_of(member: Config, setup: Setup, goal: Goal) -> dict[str, Any]:
    """What is recorded of a member, beside its returns."""
    return {
        "provenance": {
            "data": dataclasses.asdict(setup.data.provenance),
            "teacher": dataclasses.asdict(setup.teacher.provenance),
            "environment": {"name": setup.environment.name, "backend": setup.environment.backend},
            "seed": member.seed,
            "software": artefacts.software(),
        },
        "config": dataclasses.asdict(member),
        "objective": goal.objective,
        "density": goal.density_card,
        "student": students.to_card(setup.recipe),
    }


def summary(results: dict[str, Any], out: pathlib.Path) -> str:
    """What ends a run: a line for each member, and where everything went."""
    lines = [f"{'member':<28}{'return':>8}{'95% interval':>20}{'loss':>10}"]
    for member in results["members"]:
        row, loss = member["returns"]["synthetic"], member["loss"]
        mean = "diverged" if row is None else f"{row['mean']:.1f}"
        interval = "" if row is None else "[{:.1f}, {:.1f}]".format(*row["ci95"])
        shown_loss = "" if loss is None else f"{loss:.4f}"
        lines.append(f"{member['name']:<28}{mean:>8}{interval:>20}{shown_loss:>10}")
    seconds = ", ".join(f"{name} {value:.1f}" for name, value in results["seconds"].items())
    lines += [
        f"teacher: {results['returns']['teacher']['mean']:.1f}",
        f"{results['devices']} devices of {results['processes']} processes; seconds: {seconds}",
        f"written to {out}",
    ]
    return "\n".join(lines)


def main() -> None:
    """Entry point."""
    if flags.FLAGS.distributed:
        jax.distributed.initialize()
    given = config_from_flags(Config, {})
    task = given.env or given.dataset or ""
    settings = preset(flags.FLAGS.config, given.student, given.objective, task)
    config = config_from_flags(Config, settings)
    for name in ("seed", "temperature"):
        if flags.FLAGS[name].present and (name == "seed" or flags.FLAGS.temperatures is not None):
            raise InvalidInputError(f"a population takes --{name}s, not --{name}")
    try:
        seeds = [int(seed) for seed in flags.FLAGS.seeds]
        temperatures = [float(value) for value in flags.FLAGS.temperatures or ()]
    except ValueError as error:
        raise InvalidInputError(f"--seeds and --temperatures take numbers: {error}") from error
    if flags.FLAGS.temperatures is None:
        temperatures = [config.temperature]
    if not flags.FLAGS.distributed and jax.config.values["jax_num_cpu_devices"] < 0:
        devices = distill.devices_for(len(seeds) * len(temperatures), joblib.cpu_count())
        jax.config.update("jax_num_cpu_devices", devices)
    try:
        run(config, seeds, temperatures)
    except InvalidInputError:  # Whatever it says of connections, it is no loss of a process.
        raise
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        if not (flags.FLAGS.distributed and CONNECTION.search(str(error))):
            raise
        note(str(error).splitlines()[0])
        note("error: another process of this job has ended, or cannot be reached")
        sys.exit(STOPPED)


if __name__ == "__main__":
    define_flags(Config)
    flags.DEFINE_enum("config", "default", PRESETS, "Settings that flags then override.")
    flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds of the members, in place of --seed.")
    flags.DEFINE_list("temperatures", None, "Of SDW, in place of a single --temperature.")
    flags.DEFINE_bool("distributed", False, "One of several processes, which find each other.")
    for flag in ("config", "seeds", "temperatures", "distributed"):
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[flag])
    try:
        run_main(main)
    except BaseException as error:
        well = isinstance(error, SystemExit) and not error.code
        if well or not flags.FLAGS.distributed:
            raise
        if not isinstance(error, SystemExit):
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        # An orderly end would wait for the other processes, which this one may have lost.
        code = getattr(error, "code", 1)
        os._exit(code if isinstance(code, int) else 1)
