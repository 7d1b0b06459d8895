"""Scores of a run: of any set, of the reference rows, and along distillation."""

import pathlib
from typing import Any

import numpy as np
from config import Config
from setup_run import Setup

from obd_jax import artefacts, distill, environments, evaluation
from obd_jax.command_line import Clock, Progress
from obd_jax.types import SyntheticData

# Seeds of episodes: those that the curve is drawn from never serve the final scores.
CURVE_SEED, FINAL_SEED = 10_000, 20_000
CURVE_STUDENTS, CURVE_EPISODES = 5, 2
TEACHER_EPISODES = 20


def score(
    setup: Setup, label: str, synthetic: SyntheticData, students: int, episodes: int, seed: int
) -> np.ndarray:
    """Returns [K, E] of students trained on a set, in the environment's unit."""
    return evaluation.score_students(
        setup.keys["students"],
        setup.student,
        synthetic,
        setup.normalizer,
        setup.environment,
        students=students,
        episodes=episodes,
        seed=seed,
        progress=Progress(f"roll out {label}, steps"),
    )


def score_teacher(setup: Setup) -> np.ndarray:
    """Returns [1, E] of pi*, in the environment's unit."""
    return evaluation.score_policies(
        lambda _, observations: setup.teacher.act(observations),
        np.zeros(1),
        setup.environment,
        students=1,
        episodes=TEACHER_EPISODES,
        seed=FINAL_SEED,
        progress=Progress("roll out teacher, steps"),
    )


def score_references(config: Config, setup: Setup) -> dict[str, Any]:
    """Rows to compare with: students on random real pairs, the data itself, the teacher.

    The data are not there beside raw returns, which are not those that they were recorded with.
    """
    own = distill.dbc(setup.data, setup.normalizer)
    size = config.pairs if setup.start is None else len(setup.start.actions)
    pairs = distill.choose(setup.keys["random_real"], distill.uniform, own, size)
    teacher = score_teacher(setup)
    random_real = score(setup, "random_real", pairs, config.students, config.episodes, FINAL_SEED)
    rows: dict[str, Any] = {"random_real": evaluation.summarize(random_real)}
    if setup.environment.normalized:
        episodes = environments.normalized_score(setup.environment, setup.data.episode_returns)
        rows["data"] = evaluation.summarize(episodes[None, :]) if len(episodes) else None
    return {**rows, "teacher": evaluation.summarize(teacher)}


class Curve:
    """Progress, metrics and a few scores along distillation."""

    def __init__(self, config: Config, setup: Setup, folder: artefacts.RunFolder, clock: Clock):
        self.losses: list[dict[str, Any]] = []
        self.returns: list[dict[str, Any]] = []
        self._config, self._setup, self._folder, self._clock = config, setup, folder, clock
        self._progress = Progress("distil, step")

    def go_on(self, records: list[dict[str, Any]]) -> None:
        """Take up the records of the process before."""
        self.losses = [record for record in records if "loss" in record]
        self.returns = [record for record in records if "return" in record]

    def __call__(self, state: distill.DistillerState, record: dict[str, Any]) -> None:
        """Report one block of steps."""
        self._folder.add_metrics(record)
        self.losses.append(record)
        self._progress(
            record["step"],
            sum(self._config.narrow_steps) + self._config.outer_steps,
            eta=record["eta_seconds"],
            note=f"loss {record['loss']:.4f}",
        )
        if record["progress"] * self._config.curve_points >= len(self.returns):
            self.score(state.synthetic, record)

    def score(self, synthetic: SyntheticData, record: dict[str, Any]) -> None:
        """Add a point: mean and range of a few students; none at all if no points are wanted."""
        if not self._config.curve_points:
            return
        with self._clock("curve"):
            scores = score(
                self._setup, "curve", synthetic, CURVE_STUDENTS, CURVE_EPISODES, CURVE_SEED
            )
        means = scores.mean(axis=1)
        point = {
            "step": record["step"],
            "seconds": record["seconds"],
            "return": float(means.mean()),
            "low": float(means.min()),
            "high": float(means.max()),
        }
        self.returns.append(point)
        self._folder.add_metrics(point)


def table(rows: dict[str, Any], unit: str) -> str:
    """Rows of results as a table."""
    lines = [f"{unit:<20}{'mean':>9}{'iqm':>9}{'95% interval':>20}  per student"]
    for name, row in rows.items():
        if row is None:
            lines.append(f"{name:<20}{'-':>9}  the data has no complete episode")
            continue
        low, high = row["ci95"]
        each = " ".join(f"{value:.0f}" for value in row["per_student"])
        interval = f"[{low:.1f}, {high:.1f}]"
        lines.append(f"{name:<20}{row['mean']:>9.1f}{row['iqm']:>9.1f}{interval:>20}  {each}")
    return "\n".join(lines)


def summary(results: dict[str, Any], path: pathlib.Path) -> str:
    """What ends a run: the table, and where everything came from and went."""
    seconds = ", ".join(f"{name} {value:.1f}" for name, value in results["seconds"].items())
    data_card = results["provenance"]["data"]
    lines = [
        table(results["returns"], results["unit"]),
        f"data: {data_card['source']}, {data_card['name']}",
        f"{results['outer_steps']} outer steps; seconds: {seconds}",
        f"written to {path.parent} (the distilled set: {path.name})",
    ]
    return "\n".join(lines)
