r"""Successive halving over options of distillation: which reach most in a given time.

    python experiments/studies/search.py --datasets=hopper-medium,halfcheetah-medium \
        --candidates=27 --seconds=8,20,45 --trials=runs/search.jsonl

Candidates are drawn from SPACES; the first is the defaults. Each rung distils those left from
the start, on every data set with its share of seconds, and keeps the best third. They are ranked by
the mean share of the teacher's return, in episodes that serve for no other score. All flags of
`run_sdw.py` hold for every candidate but --outer_steps and --budget_minutes. A trial that is in
--trials already is read, not repeated.
"""

import dataclasses
import itertools
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from base_settings import base_settings
from json_lines import compute_once, plain
from trials import changed_from_defaults, objective_of, teacher_return, trial_return

from obd_jax import distill, environments
from obd_jax.cli import define_flags, run_main, settings_from_flags
from obd_jax.evaluation import CURVE_SEED
from obd_jax.pipeline import Problem, RunSettings, load_problem
from obd_jax.pipeline.distillation import distil, initial_set
from obd_jax.pipeline.preparation import prepare
from obd_jax.pipeline.settings import in_its_precision
from obd_jax.pipeline.targets import Cache
from obd_jax.reporting import CONSOLE
from obd_jax.settings import OptionError, option, to_options, with_options

KEPT = 3  # One in so many reaches the next rung.

SPACES: dict[str, dict[str, tuple[Any, ...]]] = {
    "kernel": {
        "kernel": ("ntk", "nngp"),
        "depth": (2, 3, 4),
        "bias_scale": (0.3, 1.0),
        "ridge": (1e-4, 1e-3, 1e-2),
        "temperature": (0.0, 0.05),
        "early_steps": (0.0, 20.0, 50.0, 150.0),
        "state_noise": (0.0, 0.1, 0.2),
        "initializer": ("relabelled", "kmeans++"),
        "outer_learning_rate": (0.01, 0.03, 0.1),
        "anneal": ("cosine", "constant"),
        "batch_size": (256, 1024, 2560),
    },
    "mlp": {
        "inner_steps": (20, 50, 100),
        "inner_learning_rate": (0.008, 0.016),
        "inner_momentum": (0.9, 0.95),
        "meta_gradient": ("reverse", "truncated", "random_truncated"),
        "lazy_weight": (0.0, 1.0),
        "narrow_widths": ((), (64,), (64, 128)),
        "temperature": (0.0, 0.05),
        "early_steps": (0.0, 50.0),
        "state_noise": (0.0, 0.1, 0.2),
        "outer_optimizer": ("adam", "adamw"),
        "outer_learning_rate": (0.01, 0.02, 0.05),
        "batch_size": (512, 2560),
    },
}


@dataclasses.dataclass(frozen=True)
class SearchSettings:
    """A search: candidates, rungs and data sets."""

    datasets: tuple[str, ...] = option(("hopper-medium", "halfcheetah-medium"), "Data sets.")
    seconds: tuple[float, ...] = option((8.0, 20.0, 45.0), "Of distillation, for each rung.")
    candidates: int = option(27, "Of the first rung.")
    seeds: tuple[int, ...] = option((0, 1), "Of the last rung; the others take the first.")
    trials: str = option("runs/search.jsonl", "File of the trials so far.")
    confirm: tuple[str, ...] = option((), "Data sets for the candidates of the last rung.")

    def __post_init__(self) -> None:
        for dataset in (*self.datasets, *self.confirm):
            if dataset != "toy":
                environments.parse_dataset(dataset)


def complete(candidate: dict[str, Any]) -> dict[str, Any]:
    """All options of a candidate: narrow networks, like others, are limited by seconds alone."""
    if "narrow_widths" not in candidate:
        return candidate
    return {**candidate, "narrow_steps": (10**6,) * len(candidate["narrow_widths"])}


def draw(space: dict[str, tuple[Any, ...]], count: int, seed: int) -> list[dict[str, Any]]:
    """Candidates, all different: the defaults, then options at random."""
    size = int(np.prod([len(values) for values in space.values()]))
    if not 1 <= count <= size:
        raise OptionError(f"{{candidates}} must be between 1 and {size}, got {count}")
    generator = np.random.default_rng(seed)
    found: list[dict[str, Any]] = [{}]
    while len(found) < count:
        one = {name: values[generator.integers(len(values))] for name, values in space.items()}
        if one not in found:
            found.append(one)
    return found


@in_its_precision
def try_out(settings: RunSettings, problem: Problem, cache: Cache) -> dict[str, Any]:
    """Distil and score: the return, loss and steps; None of a set that diverges."""
    distillation = settings.distillation
    prepared = prepare(jax.random.key(settings.run.seed), problem, distillation, CONSOLE)
    objective = objective_of(settings, prepared, cache)
    try:
        start = initial_set(distillation, prepared, objective)
        state, last = distil(distillation, prepared, objective, start)
        mean = trial_return(settings, prepared, state.synthetic)
    except (distill.DivergedError, FloatingPointError) as error:
        CONSOLE.note(f"diverged: {error}")
        return {"return": 0.0, "loss": None, "steps": 0}
    return {"return": mean, "loss": last["loss"], "steps": last["step"]}


class Task:
    """A data set with its teacher's return, loaded once."""

    def __init__(self, settings: RunSettings, dataset: str):
        self.settings = with_options(settings, dataset=dataset)
        self.problem = load_problem(self.settings, CONSOLE)
        self.cache: Cache = {}
        self.teacher = teacher_return(self.settings, self.problem, CURVE_SEED)

    def trial(self, options: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Distil with some options for some seconds: the return, its share, loss and steps."""
        settings = with_options(
            self.settings,
            **complete(options),
            budget_minutes=seconds / 60,
            outer_steps=10**6,
        )
        found = try_out(settings, self.problem, self.cache)
        return {**found, "share": found["return"] / self.teacher}


def run(base: RunSettings, search: SearchSettings) -> list[dict[str, Any]]:
    """All rungs, then the last one's candidates on the data sets to confirm it.

    Args:
        base: settings that hold for every candidate.
        search: candidates, rungs and data sets.

    Returns:
        The candidates of the last rung, the best first, with their shares: of what they were last
        tried on.
    """
    student = to_options(base)["student"]
    if student not in SPACES:
        raise OptionError(f"{{student}} takes {', '.join(SPACES)} here, got {student}")
    left = draw(SPACES[student], search.candidates, base.run.seed)
    for candidate in left:
        with_options(base, **complete(candidate))  # Refuses what cannot be used.
    tasks: dict[str, Task] = {}

    def share(candidate: dict[str, Any], dataset: str, budget: float, seed: int) -> float:
        if dataset not in tasks:
            tasks[dataset] = Task(base, dataset)
        task = tasks[dataset]
        cell = {
            "settings": plain(candidate),
            "dataset": dataset,
            "seed": seed,
            "seconds": budget,
            "teacher": task.teacher,
            "base": changed_from_defaults(base),
        }
        found = compute_once(
            pathlib.Path(search.trials),
            cell,
            lambda: task.trial({**candidate, "seed": seed}, budget),
            defaults={"base": {}},
        )
        return found["share"]

    def ranked(title: str, names: Sequence[str], budget: float, seeds: Sequence[int]):
        rows: list[dict[str, Any]] = [{"settings": candidate, "shares": []} for candidate in left]
        trials = list(itertools.product(names, rows, seeds))
        progress = CONSOLE.progress(f"{title}, trials")
        for i, (dataset, row, seed) in enumerate(trials):
            row["shares"].append(share(row["settings"], dataset, budget, seed))
            progress(i + 1, len(trials), note=f"{dataset} {row['shares'][-1]:.2f} of the teacher")
        rows.sort(key=lambda row: -float(np.mean(row["shares"])))
        print(f"\n{title}: {budget:g} s, {len(left)} candidates, {', '.join(names)}")
        for row in rows:
            each = " ".join(f"{share:.2f}" for share in row["shares"])
            settings = " ".join(f"{k}={v}" for k, v in row["settings"].items()) or "the defaults"
            print(f"{np.mean(row['shares']):.3f}  {each}  {settings}", flush=True)
        return rows

    seconds, last = search.seconds, list[dict[str, Any]]()
    for rung, budget in enumerate(seconds):
        if rung > 0:
            left = [row["settings"] for row in last[: max(1, len(last) // KEPT)]]
        # Several seeds are for the last rung, which few candidates reach.
        seeds = search.seeds if rung == len(seconds) - 1 else search.seeds[:1]
        last = ranked(f"rung {rung + 1} of {len(seconds)}", search.datasets, budget, seeds)
    if not search.confirm:
        return last
    return ranked("confirmation", search.confirm, seconds[-1], search.seeds)


def main() -> None:
    """Entry point."""
    search = settings_from_flags(SearchSettings)
    run(base_settings(taken=("outer_steps", "budget_minutes")), search)


if __name__ == "__main__":
    define_flags(RunSettings)
    define_flags(SearchSettings)
    run_main(main)
