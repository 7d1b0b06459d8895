r"""The same work spent in other ways: students at a step, short trainings first, averaged sets.

    python experiments/studies/levers.py --student=mlp --seeds=0,1 --outer_steps=160 \
        --datasets=hopper-medium,walker2d-medium-expert

Work is counted in training steps that the meta-gradient goes through, so no clock decides. Each
set is scored by fresh students: their loss on states of the data, and their returns in episodes
that serve for no score of a table. All flags of `run_sdw.py` hold for every lever but --anneal and
--budget_minutes; --outer_steps is that of one student at a step. A trial that is in --trials
already is read, not repeated.
"""

import dataclasses
import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from base_settings import base_settings
from json_lines import compute_once
from trials import changed_from_defaults, objective_of, trial_return

from obd_jax import distill, environments
from obd_jax.cli import define_flags, run_main, settings_from_flags
from obd_jax.distill import ANNEALS
from obd_jax.pipeline import Distillation, MLPStudents, Problem, RunSettings, load_problem
from obd_jax.pipeline.distillation import initial_set, make_distiller
from obd_jax.pipeline.preparation import Prepared, prepare
from obd_jax.pipeline.settings import in_its_precision
from obd_jax.pipeline.stages import Stage, stages
from obd_jax.pipeline.targets import Cache, Objective
from obd_jax.reporting import CONSOLE
from obd_jax.settings import OptionError, one_of, option, to_options, with_options
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


@dataclasses.dataclass(frozen=True)
class LeverSettings:
    """Which levers, on which data sets."""

    datasets: tuple[str, ...] = option(("hopper-medium", "walker2d-medium-expert"), "Data sets.")
    levers: tuple[str, ...] = option(tuple(LEVERS), f"Any of {', '.join(LEVERS)}.")
    seeds: tuple[int, ...] = option((0,), "Seeds.")
    trials: str = option("runs/levers.jsonl", "File of the trials so far.")

    def __post_init__(self) -> None:
        for name in self.levers:
            one_of("levers", name, LEVERS, "lever")
        for dataset in self.datasets:
            if dataset != "toy":
                environments.parse_dataset(dataset)


def shorter(settings: Distillation) -> Distillation:
    """The same with students of a quarter of the training steps."""
    return with_options(settings, inner_steps=settings.students.recipe.steps // 4)


def plan(settings: Distillation, lever: Lever, action_size: int) -> list[Stage]:
    """Stages that cost as much as the outer steps of one student of the settings."""
    short = shorter(settings)
    first, last = (stages(x.students, x.outer, action_size)[-1] for x in (short, settings))
    trained = [(weight / lever.students, student) for weight, student in last.students]
    steps = round(settings.outer.steps * (1 - lever.short) / lever.students)
    found = [last._replace(students=trained * lever.students, steps=steps)]
    if lever.short > 0:
        work = settings.outer.steps * settings.students.recipe.steps * lever.short
        found.insert(0, first._replace(steps=round(work / short.students.recipe.steps)))
    return found


def distil(
    settings: Distillation, prepared: Prepared, objective: Objective, lever: Lever
) -> dict[str, SyntheticData]:
    """The lever's last set, by "", and the average, by `AVERAGED`."""
    synthetic = initial_set(settings, prepared, objective)
    kept: list[SyntheticData] = []
    for number, stage in enumerate(plan(settings, lever, prepared.data.action_size)):
        progress = CONSOLE.progress("distil, step")
        kept = []

        def report(state, record, stage=stage, progress=progress, kept=kept) -> None:
            progress(record["step"], stage.steps, record["eta_seconds"], f"{record['loss']:.4f}")
            if record["step"] > (1 - LAST) * stage.steps:
                kept.append(jax.tree.map(np.asarray, state.synthetic))

        state, _ = distill.train(
            jax.random.fold_in(prepared.keys["distil"], number),
            make_distiller(settings, stage),
            objective.targets,
            synthetic,
            steps=stage.steps,
            batch_size=settings.outer.batch_size,
            anneal=ANNEALS[lever.anneal],
            callback=report,
        )
        synthetic = state.synthetic
    return {"": synthetic, AVERAGED: jax.tree.map(lambda *each: np.mean(each, axis=0), *kept)}


def fresh_loss(prepared: Prepared, objective: Objective, synthetic: SyntheticData) -> float:
    """Mean loss of students that the distillation has not seen."""
    key, rows = jax.random.split(jax.random.fold_in(prepared.keys["students"], 1))
    batch = distill.sample(rows, objective.targets, STATES)
    student = prepared.student

    @jax.jit
    def loss(keys, synthetic, batch):
        def one(key):
            return distill.weighted_squared_error(
                student.act(student.fit(key, synthetic), batch.observations), batch
            )

        return jnp.mean(jax.lax.map(one, keys))

    return float(loss(jax.random.split(key, STUDENTS), synthetic, batch))


@in_its_precision
def trial(settings: RunSettings, problem: Problem, cache: Cache, lever: Lever) -> dict[str, Any]:
    """Loss and return of a lever's sets."""
    distillation = settings.distillation
    prepared = prepare(jax.random.key(settings.run.seed), problem, distillation, CONSOLE)
    objective = objective_of(settings, prepared, cache)
    return {
        suffix: {
            "loss": fresh_loss(prepared, objective, synthetic),
            "return": trial_return(settings, prepared, synthetic),
        }
        for suffix, synthetic in distil(distillation, prepared, objective, lever).items()
    }


def run(base: RunSettings, settings: LeverSettings) -> dict[str, dict[str, list[dict[str, float]]]]:
    """Every lever on every data set with every seed: name -> data set -> by seed.

    Args:
        base: settings that hold for every lever.
        settings: which levers, on what.

    Raises:
        InvalidInputError: settings that a lever cannot be applied to.
    """
    students = base.distillation.students
    if not isinstance(students, MLPStudents):
        raise OptionError(f"levers are for {{student}}=mlp, got {to_options(base)['student']}")
    if students.recipe.steps < 4 or students.narrow_widths:
        raise InvalidInputError("levers need four training steps, and no narrow networks")
    shorter(base.distillation)  # Refuses what cannot be used.
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    for dataset in settings.datasets:
        problem: Problem | None = None
        cache: Cache = {}
        for seed in settings.seeds:
            own = with_options(base, dataset=dataset, seed=seed)
            for name in settings.levers:

                def make(own=own, name=name, cache=cache) -> dict[str, Any]:
                    nonlocal problem
                    problem = load_problem(own, CONSOLE) if problem is None else problem
                    return trial(own, problem, cache, LEVERS[name])

                cell = {
                    "lever": name,
                    "dataset": dataset,
                    "seed": seed,
                    "base": changed_from_defaults(base),
                }
                result = compute_once(pathlib.Path(settings.trials), cell, make)
                for suffix, values in result.items():
                    by_set = found.setdefault(name + suffix, {})
                    by_set.setdefault(dataset, []).append(values)
    return found


def main() -> None:
    """Entry point."""
    settings = settings_from_flags(LeverSettings)
    found = run(base_settings(taken=("anneal", "budget_minutes")), settings)
    for name, by_set in found.items():
        for dataset, each in by_set.items():
            losses, returns = (
                " ".join(f"{values[kind]:.3g}" for values in each) for kind in ("loss", "return")
            )
            print(f"{name:<32}{dataset:<28}loss {losses}   return {returns}")
    print(f"written to {settings.trials}")


if __name__ == "__main__":
    define_flags(RunSettings)
    define_flags(LeverSettings)
    run_main(main)
