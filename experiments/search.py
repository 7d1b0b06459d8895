"""Successive halving over settings of distillation: which reach most in a given time.

    python experiments/search.py --datasets=hopper-medium,halfcheetah-medium --candidates=27 \
        --seconds=8,20,45 --trials=runs/search.jsonl

Candidates are drawn from SPACES; the first is the defaults. Each rung distils those left from
the start, on every data set with its share of seconds, and keeps the best third. They are ranked by
the mean share of the teacher's return, in episodes that serve for no other score. All flags of
`run_sdw.py` hold for every candidate but --outer_steps and --budget_minutes. A trial that is in
--trials already is read, not repeated.
"""

import dataclasses
import itertools
import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from absl import flags
from config import FREE, Config, check
from scoring import CURVE_SEED, score
from setup_run import Loaded, distil, initial_set, load, make_goal, prepare, surround
from sweep import base_config

from obd_jax import distill, environments, evaluation
from obd_jax.command_line import (
    Clock,
    Progress,
    define_flags,
    note,
    run_main,
)
from obd_jax.types import InvalidInputError

# Students of a trial and episodes of each: networks differ with their initialisation.
TRIES = {"kernel": (1, 20), "mlp": (5, 4)}
KEPT = 3  # One in so many goes on to the next rung.

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


def settings_of(candidate: dict[str, Any]) -> dict[str, Any]:
    """All settings of a candidate: narrow networks, like others, are limited by seconds alone."""
    return {"narrow_steps": (10**6,) * len(candidate.get("narrow_widths", ())), **candidate}


def draw(space: dict[str, tuple[Any, ...]], count: int, seed: int) -> list[dict[str, Any]]:
    """Candidates, all different: the defaults, then settings at random."""
    size = int(np.prod([len(values) for values in space.values()]))
    if not 1 <= count <= size:
        raise InvalidInputError(f"--candidates must be between 1 and {size}, got {count}")
    generator = np.random.default_rng(seed)
    found: list[dict[str, Any]] = [{}]
    while len(found) < count:
        one = {name: values[generator.integers(len(values))] for name, values in space.items()}
        if one not in found:
            found.append(one)
    return found


def changed_from_defaults(config: Config) -> dict[str, Any]:
    """Settings that hold for every candidate and are not the kernel student's defaults."""
    plain = json.loads(json.dumps(dataclasses.asdict(config)))
    defaults = json.loads(json.dumps(dataclasses.asdict(Config())))
    own = (*FREE, "dataset", "seed")
    return {k: v for k, v in plain.items() if k not in own and v != defaults[k]}


class Task:
    """A data set with its teacher's return, loaded once."""

    def __init__(self, config: Config, dataset: str):
        self.config = dataclasses.replace(config, dataset=dataset)
        self.loaded: Loaded = load(self.config)
        self.known: dict[Any, Any] = {}
        environment, _, teacher = self.loaded
        with jax.default_matmul_precision(config.precision):
            returns = evaluation.score_policies(
                lambda _, observations: teacher.act(observations),
                np.zeros(1),
                environment,
                students=1,
                episodes=20,
                seed=CURVE_SEED,
            )
        self.teacher = float(returns.mean())

    def trial(self, settings: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Distil with some settings for some seconds: the return, loss and steps."""
        with jax.default_matmul_precision(self.config.precision):
            return self.try_precisely(settings, seconds)

    def try_precisely(self, settings: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The trial, in the precision that is set."""
        config = dataclasses.replace(
            self.config, **settings_of(settings), budget_minutes=seconds / 60, outer_steps=10**6
        )
        setup = prepare(config, self.loaded)
        goal = make_goal(config, setup, Clock(), self.known)
        goal = surround(config, setup, goal, Clock(), known=self.known)
        try:
            state, last = distil(config, setup, goal, initial_set(config, setup, goal))
            tries = TRIES[config.student]
            returns = score(setup, "trial", state.synthetic, *tries, CURVE_SEED)
        except (distill.DivergedError, FloatingPointError) as error:
            note(f"diverged: {error}")
            return {"return": 0.0, "share": 0.0, "loss": None, "steps": 0}
        mean = float(returns.mean())
        return {
            "return": mean,
            "share": mean / self.teacher,
            "loss": last["loss"],
            "steps": last["step"],
        }


def run(
    config: Config,
    datasets: list[str],
    seconds: list[float],
    count: int,
    seeds: list[int],
    path: pathlib.Path,
    confirm: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """All rungs, then the last one's candidates on the data sets to confirm it.

    Returns:
        The candidates of the last rung, the best first, with their shares: of what they were last
        tried on.
    """
    for dataset in (*datasets, *confirm):
        if dataset != "toy":
            environments.parse_dataset(dataset)
    if config.student not in SPACES:
        raise InvalidInputError(f"--student takes {', '.join(SPACES)} here, got {config.student}")
    left = draw(SPACES[config.student], count, config.seed)
    for candidate in left:
        check(dataclasses.replace(config, **settings_of(candidate)))
    base = changed_from_defaults(config)
    kept = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    path.parent.mkdir(parents=True, exist_ok=True)
    tasks: dict[str, Task] = {}

    def shares(candidate: dict[str, Any], dataset: str, budget: float, seed: int) -> float:
        if dataset not in tasks:
            tasks[dataset] = Task(config, dataset)
        cell = {
            "settings": json.loads(json.dumps(candidate)),
            "dataset": dataset,
            "seed": seed,
            "seconds": budget,
            "teacher": tasks[dataset].teacher,
            "base": base,
        }
        found = next((k["result"] for k in kept if {"base": {}, **k["cell"]} == cell), None)
        if found is None:
            found = tasks[dataset].trial({**candidate, "seed": seed}, budget)
            with path.open("a") as file:
                file.write(json.dumps({"cell": cell, "result": found}) + "\n")
        return found["share"]

    def ranked(title: str, names: Sequence[str], budget: float, own_seeds: list[int]):
        rows: list[dict[str, Any]] = [{"settings": candidate, "shares": []} for candidate in left]
        trials = list(itertools.product(names, rows, own_seeds))
        progress = Progress(f"{title}, trials")
        for i, (dataset, row, seed) in enumerate(trials):
            row["shares"].append(shares(row["settings"], dataset, budget, seed))
            progress(i + 1, len(trials), note=f"{dataset} {row['shares'][-1]:.2f} of the teacher")
        rows.sort(key=lambda row: -float(np.mean(row["shares"])))
        print(f"\n{title}: {budget:g} s, {len(left)} candidates, {', '.join(names)}")
        for row in rows:
            each = " ".join(f"{share:.2f}" for share in row["shares"])
            settings = " ".join(f"{k}={v}" for k, v in row["settings"].items()) or "the defaults"
            print(f"{np.mean(row['shares']):.3f}  {each}  {settings}", flush=True)
        return rows

    last: list[dict[str, Any]] = []
    for rung, budget in enumerate(seconds):
        if rung > 0:
            left = [row["settings"] for row in last[: max(1, len(last) // KEPT)]]
        # Several seeds are for the last rung, which few candidates reach.
        own_seeds = seeds if rung == len(seconds) - 1 else seeds[:1]
        last = ranked(f"rung {rung + 1} of {len(seconds)}", datasets, budget, own_seeds)
    return ranked("confirmation", confirm, seconds[-1], seeds) if confirm else last


def main() -> None:
    """Entry point."""
    run(
        base_config(taken=("outer_steps", "budget_minutes")),
        flags.FLAGS.datasets,
        [float(value) for value in flags.FLAGS.seconds],
        flags.FLAGS.candidates,
        [int(seed) for seed in flags.FLAGS.seeds],
        pathlib.Path(flags.FLAGS.trials),
        flags.FLAGS.confirm,
    )


if __name__ == "__main__":
    define_flags(Config)
    flags.DEFINE_list("datasets", ["hopper-medium", "halfcheetah-medium"], "Data sets.")
    flags.DEFINE_list("seconds", ["8", "20", "45"], "Of distillation, for each rung.")
    flags.DEFINE_integer("candidates", 27, "Of the first rung.")
    flags.DEFINE_list("seeds", ["0", "1"], "Of the last rung; the others take the first.")
    flags.DEFINE_string("trials", "runs/search.jsonl", "File of the trials so far.")
    flags.DEFINE_list("confirm", [], "Data sets for the candidates of the last rung.")
    for flag in ("datasets", "seconds", "candidates", "seeds", "trials", "confirm"):
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[flag])
    run_main(main)
