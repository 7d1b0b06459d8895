"""The same work spent in other ways: students at a step, short trainings first, averaged sets.

    python experiments/levers.py --student=mlp --datasets=hopper-medium,walker2d-medium-expert \
        --seeds=0,1 --outer_steps=160

Work is counted in training steps that the meta-gradient goes through, so no clock decides. Each
set is scored by fresh students: their loss on states of the data, and their returns in episodes
that serve for no score of a table. All flags of `run_sdw.py` hold for every lever but --anneal and
--budget_minutes; --outer_steps is that of one student at a step. A trial that is in --trials
already is read, not repeated.
"""

import dataclasses
import json
import pathlib
import sys
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from config import ANNEALS, Config, Stage, check, stages
from scoring import CURVE_SEED, score
from search import TRIES, changed_from_defaults
from setup_run import (
    Goal,
    Loaded,
    Setup,
    initial_set,
    load,
    make_distiller,
    make_goal,
    prepare,
    surround,
)
from sweep import base_config

from obd_jax import distill, environments
from obd_jax.command_line import Clock, Progress, define_flags, run_main
from obd_jax.types import InvalidInputError, SyntheticData


class Lever(NamedTuple):
    """How work is spent.

    students: whose losses are averaged at every outer step.
    short:    share of the work that goes first into students of a quarter of the training steps.
    anneal:   of the outer step size.
    """

    students: int = 1
    short: float = 0.0
    anneal: str = "cosine"


LEVERS = {
    "one student": Lever(),
    "two students": Lever(students=2),
    "short trainings first": Lever(short=0.5),
    "constant rate": Lever(anneal="constant"),
}
# Added to a lever's name: the mean of its sets after every ten of the last quarter of the steps.
AVERAGED = ", averaged"
LAST = 0.25
# Fresh students and states for the loss.
STUDENTS, STATES = 20, 20_000


def plan(config: Config, lever: Lever, action_size: int) -> list[Stage]:
    """Stages that cost as much as `outer_steps` of one student of the configuration."""
    shorter = dataclasses.replace(config, inner_steps=config.inner_steps // 4)
    first, last = (stages(each, action_size)[-1] for each in (shorter, config))
    trained = [(weight / lever.students, student) for weight, student in last.students]
    steps = round(config.outer_steps * (1 - lever.short) / lever.students)
    found = [last._replace(students=trained * lever.students, steps=steps)]
    if lever.short > 0:
        work = config.outer_steps * config.inner_steps * lever.short
        found.insert(0, first._replace(steps=round(work / shorter.inner_steps)))
    return found


def distil(config: Config, setup: Setup, goal: Goal, lever: Lever) -> dict[str, SyntheticData]:
    """The lever's last set, by "", and the average, by `AVERAGED`."""
    synthetic = initial_set(config, setup, goal)
    kept: list[SyntheticData] = []
    for number, stage in enumerate(plan(config, lever, setup.data.action_size)):
        progress = Progress("distil, step")
        kept = []

        def report(state, record, stage=stage, progress=progress, kept=kept) -> None:
            progress(record["step"], stage.steps, record["eta_seconds"], f"{record['loss']:.4f}")
            if record["step"] > (1 - LAST) * stage.steps:
                kept.append(jax.tree.map(np.asarray, state.synthetic))

        state, _ = distill.train(
            jax.random.fold_in(setup.keys["distil"], number),
            make_distiller(config, stage),
            goal.targets,
            synthetic,
            steps=stage.steps,
            batch_size=config.batch_size,
            anneal=ANNEALS[lever.anneal],
            callback=report,
        )
        synthetic = state.synthetic
    return {"": synthetic, AVERAGED: jax.tree.map(lambda *each: np.mean(each, axis=0), *kept)}


def fresh_loss(setup: Setup, goal: Goal, synthetic: SyntheticData) -> float:
    """Mean loss of students that the distillation has not seen."""
    key, rows = jax.random.split(jax.random.fold_in(setup.keys["students"], 1))
    batch = distill.sample(rows, goal.targets, STATES)
    student = setup.student

    @jax.jit
    def loss(keys):
        def one(key):
            return distill.weighted_squared_error(
                student.act(student.fit(key, synthetic), batch.observations), batch
            )

        return jnp.mean(jax.lax.map(one, keys))

    return float(loss(jax.random.split(key, STUDENTS)))


def trial(config: Config, loaded: Loaded, known: dict[Any, Any], lever: Lever) -> dict[str, Any]:
    """Loss and return of a lever's sets."""
    with jax.default_matmul_precision(config.precision):
        setup = prepare(config, loaded)
        goal = make_goal(config, setup, Clock(), known)
        goal = surround(config, setup, goal, Clock(), known=known)
        return {
            suffix: {
                "loss": fresh_loss(setup, goal, synthetic),
                "return": float(
                    score(setup, "trial", synthetic, *TRIES[config.student], CURVE_SEED).mean()
                ),
            }
            for suffix, synthetic in distil(config, setup, goal, lever).items()
        }


def run(
    config: Config, datasets: list[str], levers: list[str], seeds: list[int], path: pathlib.Path
) -> dict[str, dict[str, list[dict[str, float]]]]:
    """Every lever on every data set with every seed: name -> data set -> by seed.

    Raises:
        InvalidInputError: an unknown name, or settings that a lever cannot be applied to.
    """
    if config.student != "mlp":
        raise InvalidInputError(f"levers are for --student=mlp, got {config.student}")
    if config.inner_steps < 4 or config.narrow_widths:
        raise InvalidInputError("levers need four training steps, and no narrow networks")
    check(config)
    for name in levers:
        if name not in LEVERS:
            raise InvalidInputError(f"unknown lever {name!r}; known: {', '.join(LEVERS)}")
    for dataset in datasets:
        if dataset != "toy":
            environments.parse_dataset(dataset)
    base = changed_from_defaults(config)
    kept = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    path.parent.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    for dataset in datasets:
        loaded: Loaded | None = None
        known: dict[Any, Any] = {}
        for seed in seeds:
            own = dataclasses.replace(config, dataset=dataset, seed=seed)
            for name in levers:
                cell = {"lever": name, "dataset": dataset, "seed": seed, "base": base}
                result = next((each["result"] for each in kept if each["cell"] == cell), None)
                if result is None:
                    loaded = load(own) if loaded is None else loaded
                    result = trial(own, loaded, known, LEVERS[name])
                    with path.open("a") as file:
                        file.write(json.dumps({"cell": cell, "result": result}) + "\n")
                for suffix, values in result.items():
                    by_set = found.setdefault(name + suffix, {})
                    by_set.setdefault(dataset, []).append(values)
    return found


def main() -> None:
    """Entry point."""
    path = pathlib.Path(flags.FLAGS.trials)
    seeds = [int(seed) for seed in flags.FLAGS.seeds]
    found = run(
        base_config(taken=("anneal", "budget_minutes")),
        flags.FLAGS.datasets,
        flags.FLAGS.levers,
        seeds,
        path,
    )
    for name, by_set in found.items():
        for dataset, each in by_set.items():
            losses, returns = (
                " ".join(f"{values[kind]:.3g}" for values in each) for kind in ("loss", "return")
            )
            print(f"{name:<32}{dataset:<28}loss {losses}   return {returns}")
    print(f"written to {path}")


if __name__ == "__main__":
    define_flags(Config)
    flags.DEFINE_list("datasets", ["hopper-medium", "walker2d-medium-expert"], "Data sets.")
    flags.DEFINE_list("levers", list(LEVERS), f"Any of {', '.join(LEVERS)}.")
    flags.DEFINE_list("seeds", ["0"], "Seeds.")
    flags.DEFINE_string("trials", "runs/levers.jsonl", "File of the trials so far.")
    for flag in ("datasets", "levers", "seeds", "trials"):
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[flag])
    run_main(main)
