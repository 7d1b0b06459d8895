"""Distil many sets of one data set in one program, over all devices, and score each of them.

    python experiments/run_population.py --dataset=walker2d-medium-expert --seeds=0,1,2,3 \
        --temperatures=0,0.05 --out=runs/population

With --distributed, all processes of a job run this same command; see `docs/jobs.md`. All flags of
`run_sdw.py` hold for every member, but for those that the lists replace.
"""

import dataclasses
import functools
import itertools
import os
import pathlib
import re
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from config import ANNEALS, PRESETS, Config, check, preset, stages
from scoring import FINAL_SEED, score, score_teacher
from setup_run import (
    Goal,
    Setup,
    initial_set,
    make_goal,
    outer_optimizer,
    prepare,
    split_seed,
)

from obd_jax import artefacts, distill, evaluation, students
from obd_jax.command_line import Clock, Progress, config_from_flags, define_flags, note, run_main
from obd_jax.types import InvalidInputError, SyntheticData

# Exit code when another process is gone: a temporary failure, as `sysexits.h` names it.
LOST = os.EX_TEMPFAIL
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
    if writes:
        artefacts.refuse_unusable(out)
    mesh = distill.device_mesh()
    if len(members) % mesh.size:
        raise InvalidInputError(
            f"{len(members)} sets cannot be shared equally by {mesh.size} devices"
        )
    clock = Clock()
    with clock("load"):
        setup = prepare(first)
    goals = make_goals(members, setup, clock)
    with clock("distil"):
        sets, history = distil(members, setup, goals, mesh)
    with clock("evaluate"):
        returns = score_members(members, setup, sets)
    results = {
        "members": [
            {
                "name": name_of(member),
                "seed": member.seed,
                "temperature": member.temperature,
                "loss": float(history[-1]["loss"][i]),
                "skipped": int(history[-1]["skipped"][i]),
                "returns": {"synthetic": evaluation.summarize(returns[i])},
            }
            for i, member in enumerate(members)
        ],
        "seconds": clock.seconds,
        "outer_steps": history[-1]["step"],
        "devices": mesh.size,
        "processes": jax.process_count(),
        **card_of(first, setup, goals[0]),
    }
    if writes:
        teacher = evaluation.summarize(score_teacher(setup))
        results = {"returns": {"teacher": teacher}, **results}
        with artefacts.RunFolder(out) as folder:
            for i, (member, goal) in enumerate(zip(members, goals, strict=True)):
                synthetic = jax.tree.map(lambda leaf, i=i: jnp.asarray(leaf[i]), sets)
                own = artefacts.DistilledSet(
                    synthetic, setup.normalizer, card_of(member, setup, goal)
                )
                (out / name_of(member)).mkdir()
                artefacts.save(out / name_of(member), own)
            for record in history:
                folder.add_metrics(record)
            folder.write_json("results.json", results)
        print(summary(results, out))
    return results


def make_goals(members: list[Config], setup: Setup, clock: Clock) -> list[Goal]:
    """Every member's objective; the density is fitted once, by the first member's seed."""
    known: dict[Any, Any] = {}
    seed = members[0].seed
    by_temperature = {
        member.temperature: make_goal(dataclasses.replace(member, seed=seed), setup, clock, known)
        for member in members
    }
    return [by_temperature[member.temperature] for member in members]


def distil(
    members: list[Config], setup: Setup, goals: list[Goal], mesh: Any
) -> tuple[SyntheticData, list[dict[str, Any]]]:
    """Sets of all members [P, N, ...] as NumPy arrays, and records in plain values."""
    first = members[0]
    keys = [split_seed(member.seed) for member in members]
    starts = [
        initial_set(member, setup._replace(keys=own), goal)
        for member, own, goal in zip(members, keys, goals, strict=True)
    ]
    sets = jax.tree.map(lambda *leaves: jnp.stack(leaves), *starts)
    shared = goals[0].targets
    targets = shared._replace(weights=jnp.stack([goal.targets.weights for goal in goals]))
    parts = stages(first, setup.data.action_size)
    total = sum(part.steps for part in parts)
    progress = Progress("distil, step")
    history: list[dict[str, Any]] = []
    for number, part in enumerate(parts):
        before = history[-1] if history else {"step": 0, "seconds": 0.0}

        def report(_: Any, record: dict[str, Any], before: dict[str, Any] = before) -> None:
            plain = {
                name: value.tolist() if isinstance(value, np.ndarray) else value
                for name, value in record.items()
            }
            plain["step"] += before["step"]
            plain["seconds"] += before["seconds"]
            history.append(plain)
            if jax.process_index() == 0:
                worst, best = max(plain["loss"]), min(plain["loss"])
                progress(plain["step"], total, note=f"losses {best:.4f} to {worst:.4f}")

        one = distill.distiller(
            part.students,
            outer_optimizer(first, part.learning_rate),
            constraint=distill.make_constraint(first.constraint),
            spread=part.spread,
        )
        own = [each["distil"] for each in keys]
        if number < len(parts) - 1:
            own = [jax.random.fold_in(key, number) for key in own]
        states, _ = distill.train_population(
            jnp.stack(own),
            functools.partial(_same, one),
            (),
            targets,
            sets,
            steps=part.steps,
            batch_size=first.batch_size,
            targets_axes=(None, None, 0),
            mesh=mesh,
            anneal=ANNEALS[first.anneal],
            callback=report,
        )
        sets = distill.gather(states.synthetic)
    return sets, history


def _same(made: distill.Distiller, _: Any) -> distill.Distiller:
    """The distiller of every member."""
    return made


def score_members(members: list[Config], setup: Setup, sets: SyntheticData) -> np.ndarray:
    """Returns [P, K, E]; every process scores its share of the members."""
    first = members[0]
    shape = (first.students, first.episodes)
    if setup.student.deterministic:
        shape = (1, first.students * first.episodes)
    found = np.zeros((len(members), *shape))
    for i in range(jax.process_index(), len(members), jax.process_count()):
        own = setup._replace(keys=split_seed(members[i].seed))
        synthetic = jax.tree.map(lambda leaf, i=i: jnp.asarray(leaf[i]), sets)
        found[i] = score(
            own, name_of(members[i]), synthetic, first.students, first.episodes, FINAL_SEED
        )
    return distill.sum_over_processes(found)


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
        row = member["returns"]["synthetic"]
        interval = "[{:.1f}, {:.1f}]".format(*row["ci95"])
        lines.append(
            f"{member['name']:<28}{row['mean']:>8.1f}{interval:>20}{member['loss']:>10.4f}"
        )
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
    try:
        seeds = [int(seed) for seed in flags.FLAGS.seeds]
        temperatures = [float(value) for value in flags.FLAGS.temperatures]
    except ValueError as error:
        raise InvalidInputError(f"--seeds and --temperatures take numbers: {error}") from error
    try:
        run(config_from_flags(Config, settings), seeds, temperatures)
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        if not (flags.FLAGS.distributed and CONNECTION.search(str(error))):
            raise
        note(str(error).splitlines()[0])
        note("error: another process of this job has ended, or cannot be reached")
        os._exit(LOST)  # An orderly end would wait for that process.


if __name__ == "__main__":
    define_flags(Config)
    flags.DEFINE_enum("config", "default", PRESETS, "Settings that flags then override.")
    flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds of the members, in place of --seed.")
    flags.DEFINE_list("temperatures", ["0.05"], "Of SDW, in place of --temperature.")
    flags.DEFINE_bool("distributed", False, "One of several processes, which find each other.")
    for flag in ("config", "seeds", "temperatures", "distributed"):
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[flag])
    run_main(main)
