r"""How closely learners of a set match the actions that it was distilled for.

    python experiments/paper/fit_errors.py --runs=runs/pool,runs/kernel --learners=kernel,mlp-3x256

Errors are on states that the first run distilled, noisy copies included, with their weights. They
tell settings apart with one set each, where returns differ by tens of points between seeds.
"""

import dataclasses
import functools
import pathlib

import jax
import numpy as np
import own_learners
from own_learners import OWN

from obd_jax import artefacts, distill, runs
from obd_jax.cli import define_flags, run_main, settings_from_flags
from obd_jax.cli.flags import read_config
from obd_jax.pipeline import RunSettings, load_problem
from obd_jax.pipeline.preparation import prepare
from obd_jax.pipeline.targets import make_objective, reweight
from obd_jax.reporting import CONSOLE, Clock, Reporter
from obd_jax.settings import OptionError, at_least, one_of, option, to_options
from obd_jax.types import Array, Key, Student, SyntheticData, Targets


@dataclasses.dataclass(frozen=True)
class ErrorSettings:
    """Which runs are compared, by which learners."""

    runs: tuple[str, ...] = option((), "Run folders, all of one data set. Required.")
    learners: tuple[str, ...] = option(("kernel", "mlp-3x256"), "Learners of the package.")
    tries: int = option(2, "Learners of a kind, trained with other seeds.")
    states: int = option(4096, "States, drawn at random.")
    out: str = option("runs/fit_errors", "Folder of the record.")

    def __post_init__(self) -> None:
        for learner in self.learners:
            one_of("learners", learner, OWN)
        at_least(1, tries=self.tries, states=self.states)


def targets_of(folder: pathlib.Path, states: int, reporter: Reporter) -> Targets:
    """States that a run distilled, drawn at random, with actions and weights."""
    settings = read_config(str(folder / "config.json"), RunSettings)
    problem = load_problem(settings, reporter)
    key = jax.random.key(settings.run.seed)
    prepared = prepare(key, problem, settings.distillation, reporter)
    clock = Clock()
    objective = make_objective(settings.distillation, prepared, clock)
    objective = reweight(settings.distillation, prepared, objective, clock, reporter)
    count = len(objective.targets.weights)
    rows = np.random.default_rng(0).choice(count, min(states, count), replace=False)
    return jax.tree.map(lambda array: np.asarray(array)[rows], objective.targets)


def run(settings: ErrorSettings, reporter: Reporter = CONSOLE) -> dict[str, dict[str, list[float]]]:
    """Print, write and return the errors of every learner's tries on every run's set.

    Raises:
        InvalidInputError: no runs, or one that cannot be read.
    """
    if not settings.runs:
        raise OptionError("{runs} is required: run folders")
    folders = [pathlib.Path(each) for each in settings.runs]
    targets = targets_of(folders[0], settings.states, reporter)
    found: dict[str, dict[str, list[float]]] = {}
    cards = {}
    print(f"| run | {' | '.join(settings.learners)} |\n|{'---|' * (len(settings.learners) + 1)}")
    for folder in folders:
        distilled = artefacts.load(folder)
        cards[str(folder)] = distilled.card
        found[str(folder)] = errors = {}
        for name in settings.learners:
            student = own_learners.student_of(OWN[name], distilled)
            errors[name] = [
                float(_error(student, jax.random.key(seed), distilled.synthetic, targets))
                for seed in range(1 if student.deterministic else settings.tries)
            ]
        shown = (" ".join(f"{error:.3f}" for error in each) for each in errors.values())
        print(f"| {folder.name} | {' | '.join(shown)} |", flush=True)
    record = {
        "errors": found,
        "cards": cards,
        "config": to_options(settings),
        "provenance": artefacts.provenance(),
    }
    out = pathlib.Path(settings.out)
    out.mkdir(parents=True, exist_ok=True)
    runs.write_json(out / "fit_errors.json", record)
    print(f"\nwritten to {out / 'fit_errors.json'}")
    return found


@functools.partial(jax.jit, static_argnums=0)
def _error(student: Student, key: Key, synthetic: SyntheticData, targets: Targets) -> Array:
    actions = student.act(student.fit(key, synthetic), targets.observations)
    return distill.weighted_squared_error(actions, targets)


def main() -> None:
    """Entry point."""
    run(settings_from_flags(ErrorSettings))


if __name__ == "__main__":
    define_flags(ErrorSettings)
    run_main(main)
