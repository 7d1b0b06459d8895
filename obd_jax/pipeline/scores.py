"""Scores: of any set, of policies, of the reference rows, and along distillation."""

import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from obd_jax import artefacts, distill, environments, evaluation, runs, students
from obd_jax.data.cache import cached
from obd_jax.environments import EnvironmentSpec
from obd_jax.evaluation import (
    CURVE_EPISODES,
    CURVE_SEED,
    CURVE_STUDENTS,
    FINAL_SEED,
    TEACHER_EPISODES,
    ScoreSettings,
)
from obd_jax.evaluation.rollouts import Lengths
from obd_jax.numerics import traceable
from obd_jax.pipeline.cache_keys import cache_path, code_hash, key_numbers
from obd_jax.pipeline.offline import measures_table
from obd_jax.pipeline.preparation import Prepared, make_student
from obd_jax.reporting import Clock, Reporter
from obd_jax.students import MLPRecipe
from obd_jax.types import InvalidInputError, SyntheticData, Teacher


def score(
    prepared: Prepared,
    label: str,
    synthetic: SyntheticData,
    students: int,
    episodes: int,
    seed: int,
    reporter: Reporter,
    lengths: Lengths | None = None,
) -> np.ndarray:
    """Returns [K, E] of students trained on a set, in the environment's unit.

    `lengths` is called with the steps of every episode, [K, E].
    """
    assert prepared.environment is not None
    return evaluation.score_students(
        prepared.keys["students"],
        prepared.student,
        synthetic,
        prepared.normalizer,
        prepared.environment,
        students=students,
        episodes=episodes,
        seed=seed,
        progress=reporter.progress(f"roll out {label}, steps"),
        lengths=lengths,
    )


def score_teacher(
    prepared: Prepared, reporter: Reporter, episodes: int = TEACHER_EPISODES, seed: int = FINAL_SEED
) -> np.ndarray | None:
    """Returns [1, E] of pi*, in the environment's unit.

    None: there is none, or JAX cannot trace it, and the environment is simulated in JAX.
    """
    assert prepared.environment is not None
    if prepared.teacher is None:
        return None
    return roll_out_teacher(prepared.teacher, prepared.environment, reporter, episodes, seed)


def roll_out_teacher(
    teacher: Teacher, environment: EnvironmentSpec, reporter: Reporter, episodes: int, seed: int
) -> np.ndarray | None:
    """Returns [1, E] of a teacher, in the environment's unit.

    None: JAX cannot trace it, and the environment is simulated in JAX.
    """
    traced = traceable(teacher.act, np.zeros((1, teacher.observation_size), np.float32))
    if not traced and not environment.in_gymnasium:
        reporter.note(
            f"teacher {teacher.provenance.name} is not scored: JAX cannot trace it, and "
            f"{environment.backend} simulates in JAX"
        )
        return None
    roll_out = evaluation.score_act if traced else evaluation.score_untraced
    return roll_out(
        teacher.act,
        environment,
        episodes=episodes,
        seed=seed,
        progress=reporter.progress("roll out teacher, steps"),
    )


def random_real(pairs: int, prepared: Prepared) -> SyntheticData:
    """As many random pairs of the data as the set has, which students are compared with."""
    own = prepared.own
    if prepared.kept is not prepared.data:
        own = distill.dbc(prepared.data, prepared.normalizer)
    size = pairs if prepared.start is None else len(prepared.start.actions)
    return distill.choose(prepared.keys["random_real"], distill.uniform, own, size)


def score_references(
    settings: ScoreSettings, pairs: int, prepared: Prepared, reporter: Reporter
) -> dict[str, Any]:
    """Rows to compare with: students on random real pairs, the data itself, the teacher.

    The data are absent beside returns of Brax's task in place of the one they were recorded in.
    Rows that need rollouts are kept in the cache, by all that they depend on; in tasks of others,
    whose code is not known, and for functions as teachers they are scored every time.
    """
    assert prepared.environment is not None
    common = {
        "data": prepared.data.provenance.sha256,
        "action_bounds": str(prepared.data.action_bounds),
        "environment": environments.to_card(prepared.environment),
        "software": artefacts.software(),
        "code": code_hash(),
    }
    chosen = random_real(pairs, prepared)
    task = prepared.environment
    kept = _cached if task.functional is not None or task.name in environments.KNOWN else _scored
    of_random = kept(
        "random_real",
        {
            **common,
            "student": students.to_card(prepared.recipe),
            "keys": [key_numbers(prepared.keys[name]) for name in ("random_real", "students")],
            "sizes": [len(chosen.actions), settings.students, settings.episodes],
        },
        lambda: score(
            prepared,
            "random_real",
            chosen,
            settings.students,
            settings.episodes,
            FINAL_SEED,
            reporter,
        ),
        reporter,
    )
    rows: dict[str, Any] = {"random_real": of_random}
    if not prepared.environment.is_substitute:
        episodes = environments.score(prepared.environment, prepared.data.episode_returns)
        rows["data"] = evaluation.summarize(episodes[None, :]) if len(episodes) else None
    teacher = prepared.teacher
    if teacher is not None and teacher.provenance.source == "function":
        kept = _scored  # Its hash is of what it does on a few states.
    if teacher is not None:
        row = kept(
            "teacher",
            {**common, "teacher": teacher.provenance.sha256, "episodes": TEACHER_EPISODES},
            lambda: score_teacher(prepared, reporter),
            reporter,
        )
        if row is not None:
            rows["teacher"] = row
    return rows


Returns = Callable[[], np.ndarray | None]


def _scored(
    name: str, identity: dict[str, Any], returns: Returns, reporter: Reporter
) -> dict[str, Any] | None:
    """The summary of returns, scored now; arguments as for `_cached`."""
    del name, identity, reporter
    found = returns()
    return None if found is None else evaluation.summarize(found)


def _cached(
    name: str, identity: dict[str, Any], returns: Returns, reporter: Reporter
) -> dict[str, Any] | None:
    """The summary of returns, from the cache if they were scored before.

    Args:
        name: of the row.
        identity: all that the returns depend on, in plain values.
        returns: () -> [K, E], or None where none can be scored.
        reporter: for progress.
    """
    path = cache_path("scores", name, identity, ".json")
    if path.exists():
        reporter.note(f"{name}: score read from {path}")

    def read(path: pathlib.Path) -> dict[str, Any] | None:
        try:
            return json.loads(path.read_text())["row"]
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidInputError(f"{path}: {error}") from error

    def make(path: pathlib.Path) -> None:
        row = _scored(name, identity, returns, reporter)
        path.write_text(json.dumps({"identity": identity, "row": row}))

    return cached(path, make, read, reporter.note)


def score_networks(
    settings: ScoreSettings,
    recipe: MLPRecipe,
    prepared: Prepared,
    synthetic: SyntheticData,
    reporter: Reporter,
) -> dict[str, Any]:
    """Row of networks trained on a set that is for any learner, beside its own student."""
    student = make_student(recipe, prepared.data.action_size)
    returns = score(
        prepared._replace(recipe=recipe, student=student),
        "networks",
        synthetic,
        settings.students,
        settings.episodes,
        FINAL_SEED,
        reporter,
    )
    return evaluation.summarize(returns)


class Curve:
    """Progress, metrics and a few scores along distillation.

    losses:  records of steps.
    returns: records of scores.
    """

    def __init__(
        self,
        prepared: Prepared,
        steps: int,
        points: int,
        folder: runs.RunFolder,
        clock: Clock,
        reporter: Reporter,
    ):
        """Start a curve.

        Args:
            prepared: what distillation starts from.
            steps: outer steps of all stages.
            points: scores along distillation; 0: none.
            folder: takes the metrics.
            clock: counts the seconds of scores.
            reporter: for progress.
        """
        self.losses: list[dict[str, Any]] = []
        self.returns: list[dict[str, Any]] = []
        self._prepared, self._steps, self._points = prepared, steps, points
        self._folder, self._clock, self._reporter = folder, clock, reporter
        self._progress = reporter.progress("distil, step")

    def resume(self, records: list[dict[str, Any]]) -> None:
        """Take up the records of the process before."""
        self.losses = [record for record in records if "loss" in record]
        self.returns = [record for record in records if "return" in record]

    def __call__(self, state: distill.DistillerState, record: dict[str, Any]) -> None:
        """Report one block of steps."""
        self._folder.add_metrics(record)
        self.losses.append(record)
        self._progress(
            record["step"],
            self._steps,
            eta=record["eta_seconds"],
            note=f"loss {record['loss']:.4f}",
        )
        if record["progress"] * self._points >= len(self.returns):
            self.score(state.synthetic, record)

    @property
    def about(self) -> dict[str, Any] | None:
        """How a point is scored, which is not how the final score is; None without points."""
        if not self.returns:
            return None
        episodes = CURVE_STUDENTS * CURVE_EPISODES
        alone = self._prepared.student.deterministic
        return {
            "students": 1 if alone else CURVE_STUDENTS,
            "episodes": episodes if alone else CURVE_EPISODES,
            "seed": CURVE_SEED,
            "last": self.returns[-1]["return"],
        }

    def score(self, synthetic: SyntheticData, record: dict[str, Any]) -> None:
        """Add a point: mean and range of a few students; none at all if no points are wanted."""
        if not self._points:
            return
        with self._clock("curve"):
            scores = score(
                self._prepared,
                "curve",
                synthetic,
                CURVE_STUDENTS,
                CURVE_EPISODES,
                CURVE_SEED,
                self._reporter,
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


def reference_lines(rows: Mapping[str, Any]) -> dict[str, float]:
    """Mean returns of rows of results, as lines of a picture: the set's own is the final score."""
    lines = {name: row["mean"] for name, row in rows.items() if row and name != "synthetic"}
    if "synthetic" in rows:
        lines["final score"] = rows["synthetic"]["mean"]
    return lines


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


def run_summary(results: dict[str, Any], path: pathlib.Path) -> str:
    """What ends a run: the table, and where everything came from and went."""
    seconds = ", ".join(f"{name} {value:.1f}" for name, value in results["seconds"].items())
    data_card, curve = results["provenance"]["data"], results["curve"]
    lines = []
    if results["returns"]:
        lines.append(table(results["returns"], results["unit"]))
    if "offline" in results:
        lines.append(measures_table(results["offline"]))
    if curve is not None:
        row = results["returns"]["synthetic"]
        point = _episodes(curve["students"], curve, "episodes")
        score = _episodes(len(row["per_student"]), row, "other episodes")
        lines.append(
            f"curve: its last point {curve['last']:.1f} is over {point}; the score "
            f"{row['mean']:.1f} is over {score}"
        )
    if "networks" in results["returns"]:
        lines.append("networks: three layers, 1,000 training steps on the same set")
    teacher, data_row = (results["returns"].get(name) for name in ("teacher", "data"))
    if teacher and data_row and teacher["mean"] < data_row["mean"]:
        lines.append(
            "the teacher scores less than its data: train it for longer, or with another algorithm"
        )
    lines.append(f"data: {data_card['source']}, {data_card['name']}")
    scored_in = results["provenance"].get("environment", {})
    if "reference_returns" in scored_in:
        low, high = scored_in["reference_returns"]
        source = scored_in.get("reference_source")
        origin = f"by the metadata of {source}" if source else "as given"
        lines.append(f"returns {low:g} and {high:g} score 0 and 100, {origin}")
    lines += [
        f"{results['outer_steps']} outer steps; seconds: {seconds}",
        f"written to {path.parent} (the distilled set: {path.name}; look at report.html)",
    ]
    return "\n".join(lines)


def _episodes(students: int, row: dict[str, Any], what: str) -> str:
    each = f"{row['episodes']} {what}"
    return each if students == 1 else f"{students} students, {each} each"
