"""Training of a teacher, pi* and q*, in a folder where it can be resumed."""

import dataclasses
import functools
import pathlib
from typing import Any

import jax
import numpy as np

from obd_jax import artefacts, environments, evaluation, runs, teachers
from obd_jax.environments import EnvironmentSpec
from obd_jax.evaluation.protocol import CURVE_SEED, FINAL_SEED
from obd_jax.numerics import PRECISIONS
from obd_jax.reporting import Reporter
from obd_jax.settings import (
    OptionError,
    at_least,
    not_negative,
    one_of,
    option,
    positive,
    to_options,
)
from obd_jax.types import OfflineData, Teacher

BLOCK = 1000
_CURVE_EPISODES = 5

# With a budget, a block ends every second or two, and a teacher is saved every minute at least.
_BUDGET_BLOCK = 250
# ReBRAC's own batches have 1,024 transitions, and TD3+BC's own learning rate is 3e-4.
_BUDGET_OPTIONS = {
    "rebrac": {"batch_size": "256"},
    "td3_bc": {"learning_rate": "1e-3"},
}
_SAVE_SECONDS = 60.0

# What a record says beside its metrics.
_PLACE = ("step", "progress", "seconds", "eta_seconds")


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """A training.

    algorithm:          one of `teachers.ALGORITHMS`.
    options:            of the algorithm, as name=value,name=value.
    steps:              updates.
    minutes:            wall-clock at most; None: all updates.
    precision:          of matrix products.
    seed:               of everything random.
    episodes:           of the final score.
    curve_points:       scores along training.
    checkpoint_minutes: between two checkpoints.
    """

    algorithm: str = option("rebrac", f"Algorithm: one of {', '.join(teachers.ALGORITHMS)}.")
    options: str = option("", "Options of the algorithm: name=value,name=value.")
    steps: int = option(100_000, f"Updates, a multiple of {BLOCK}.")
    minutes: float | None = option(
        None,
        "Maximum wall-clock minutes of training. Learning rates fall to 0 over the second half; "
        "the policy is an average over the last updates. Unless options differ, rebrac's batches "
        "have 256 transitions and td3_bc's learning rate is 0.001. Absent: all updates.",
        "teacher_minutes",
    )
    precision: str = option(
        "highest", f"Precision of matrix products on GPUs and TPUs: one of {', '.join(PRECISIONS)}."
    )
    seed: int = option(0, "Seed of all randomness.")
    episodes: int = option(20, "Number of episodes of the final score.")
    curve_points: int = option(10, "Number of scores during training.")
    checkpoint_minutes: float = option(1.0, "Minutes between two checkpoints.")

    def __post_init__(self) -> None:
        at_least(1, episodes=self.episodes, curve_points=self.curve_points)
        not_negative(checkpoint_minutes=self.checkpoint_minutes)
        positive(teacher_minutes=self.minutes)
        if self.steps < 1 or self.steps % BLOCK:
            raise OptionError(f"{{steps}} must be a multiple of {BLOCK}, got {self.steps}")
        one_of("precision", self.precision, PRECISIONS)
        self.make(1, 1)  # Refuses unknown options.

    def make(self, observation_size: int, action_size: int) -> teachers.Algorithm:
        """The algorithm for data of these sizes."""
        options = parse_options(self.options)
        if self.minutes is not None:
            options = {**_BUDGET_OPTIONS.get(self.algorithm, {}), **options}
        elif self.algorithm == "iql":  # Its learning rate falls over the whole training.
            options = {"steps": str(self.steps), **options}
        return teachers.make_algorithm(self.algorithm, observation_size, action_size, options)

    @property
    def identity(self) -> dict[str, Any]:
        """What a training is recognised by: all options that it depends on."""
        return {
            name: value
            for name, value in to_options(self).items()
            # Trainings from before there were budgets do not mention them.
            if name not in runs.MAY_DIFFER and (name, value) != ("teacher_minutes", None)
        }


def parse_options(text: str) -> dict[str, str]:
    """Text name=value,name=value -> the options."""
    options = {}
    for item in filter(None, text.split(",")):
        name, equals, value = item.partition("=")
        if not equals:
            raise OptionError(f"{{options}} takes name=value,name=value; got {text!r}")
        options[name] = value
    return options


def train_in(
    folder: pathlib.Path,
    settings: TrainingSettings,
    environment: EnvironmentSpec | None,
    offline: OfflineData,
    reporter: Reporter,
    origin: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Train, score and write; returns the content of `results.json`.

    Args:
        folder: new, or one of the same training, which is resumed.
        settings: of the training.
        environment: where the teacher is scored; None: nowhere.
        offline: the data.
        reporter: for progress.
        origin: options that the data were loaded with, recorded with the settings.

    Raises:
        InvalidInputError: data that cannot be used, or a folder of another training.
        teachers.DivergedError: the critics diverged; the last good checkpoint is kept.
        KeyboardInterrupt: a signal ended the training; it can be resumed.
    """
    sizes = offline.observation_size, offline.action_size
    algorithm = settings.make(*sizes)
    trainable = teachers.prepare(algorithm, offline)
    if environment is not None:
        evaluation.check_environment(environment, *sizes)
    with jax.default_matmul_precision(settings.precision), runs.lock(folder):
        return _train(
            folder,
            settings,
            origin or {},
            environment,
            offline,
            algorithm,
            trainable,
            reporter,
        )


def _train(
    folder: pathlib.Path,
    settings: TrainingSettings,
    origin: dict[str, Any],
    environment: EnvironmentSpec | None,
    offline: OfflineData,
    algorithm: teachers.Algorithm,
    trainable: teachers.Trainable,
    reporter: Reporter,
) -> dict[str, Any]:
    """Train in a folder that is locked."""
    plain, budget = settings.identity, settings.minutes and 60 * settings.minutes
    # More steps resume a training, but not one whose learning rates fall until the last.
    falling = settings.algorithm == "iql" or budget is not None
    fixed = {k: v for k, v in plain.items() if k != "steps" or falling}
    identity = {**fixed, "data_sha256": offline.provenance.sha256}
    if offline.action_bounds is not None:
        identity["action_bounds"] = str(offline.action_bounds)
    runs.check_same(folder, "config.json", identity)
    runs.write_json(folder / "config.json", identity)
    key = jax.random.key(settings.seed)
    start = functools.partial(
        teachers.initial_state, algorithm=algorithm, average=budget is not None
    )
    rows: list[dict[str, Any]] = []
    card = {
        "algorithm": settings.algorithm,
        "config": {**origin, **plain},
        "provenance": artefacts.provenance(
            data=offline, environment=environment, seed=settings.seed
        ),
    }

    def teacher_of(state: teachers.TrainState) -> Teacher:
        teachers.save_teacher(
            folder / "teacher.npz",
            state.policy,
            state.critics[0],
            trainable.normalizer,
            offline.action_size,
            trainable.reward_scale,
            {**card, "step": int(state.step)},
        )
        return teachers.load_teacher(folder / "teacher.npz")

    def score(teacher: Teacher, episodes: int, seed: int) -> np.ndarray:
        assert environment is not None
        return evaluation.score_act(
            teacher.act,
            environment,
            episodes=episodes,
            seed=seed,
            progress=reporter.progress("roll out teacher, steps"),
        )

    progress = reporter.progress(f"train {settings.algorithm}, updates")
    every = max(BLOCK, settings.steps // settings.curve_points // BLOCK * BLOCK)
    saved = 0.0  # Seconds of training when the teacher was last written.

    def is_due(record: dict[str, Any]) -> bool:
        if budget is None:
            return record["step"] % every == 0
        points = int(settings.curve_points * record["progress"])
        return points > len(rows) or record["seconds"] - saved >= _SAVE_SECONDS

    def report(state: teachers.TrainState, record: dict[str, Any]) -> None:
        nonlocal saved
        seconds, last = record["seconds"], record["progress"] == 1
        note = f"value {record['value']:.1f}"
        progress(record["step"], settings.steps, record["eta_seconds"], note)
        if is_due(record) or last:
            teacher, scores, saved = teacher_of(state), {}, seconds
            if environment is not None:
                returns = score(teacher, _CURVE_EPISODES, CURVE_SEED)
                name = "normalized_return" if environment.normalized else "return"
                scores = {
                    name: round(float(returns.mean()), 2),
                    "lowest": round(float(returns.min()), 2),
                }
            metrics = {k: round(v, 4) for k, v in record.items() if k not in _PLACE}
            rows.append({"step": record["step"], "seconds": round(seconds, 1), **scores, **metrics})
            runs.write_csv(folder / "curve.csv", rows)
        saver(record["step"], state, {"rows": rows, "seconds": seconds}, now=last)

    minutes = settings.checkpoint_minutes
    form = jax.eval_shape(start, key)
    with runs.checkpointing(folder, "train", form, minutes, reporter) as saver:
        state, before = None, 0.0
        if saver.found is not None:
            state, rows = saver.found.state, saver.found.notes["rows"]
            before = saved = saver.found.notes["seconds"]
            over = budget is not None and before >= budget
            if saver.found.step < settings.steps and not over:
                # What it says will not be true of the teacher any more.
                (folder / "results.json").unlink(missing_ok=True)
        state = teachers.train(
            key,
            algorithm,
            trainable,
            steps=settings.steps,
            budget_seconds=budget,
            state=state,
            seconds=before,
            block=BLOCK if budget is None else _BUDGET_BLOCK,
            callback=report,
        )
    teacher = teacher_of(state)
    seconds = float(rows[-1]["seconds"])
    returns: dict[str, Any] = {"teacher": None, "data": None}
    calibration = None
    if environment is not None:
        final = score(teacher, settings.episodes, FINAL_SEED)
        episodes = environments.score(environment, offline.episode_returns)
        returns["teacher"] = evaluation.summarize(final)
        if len(episodes):
            returns["data"] = evaluation.summarize(episodes[None, :])
        if environment.gymnasium_id is not None:
            calibration = teachers.q_calibration(
                teacher, environment, offline, discount=algorithm.discount, seed=FINAL_SEED
            )
    results = {
        "returns": returns,
        "unit": None if environment is None else environment.unit,
        "q_calibration": calibration,
        "steps": int(state.step),
        "steps_per_second": int(state.step) / seconds,
        "seconds": seconds,
        **card,
    }
    runs.write_json(folder / "results.json", results)
    return results


def training_summary(results: dict[str, Any]) -> str:
    """What ends a training, as text."""
    teacher, found = results["returns"]["teacher"], results["q_calibration"]
    lines = []
    if teacher is not None:
        low, high = teacher["ci95"]
        lines.append(f"teacher {teacher['mean']:.1f} [{low:.1f}, {high:.1f}], {results['unit']}")
    if results["returns"]["data"] is not None:
        lines.append(f"data    {results['returns']['data']['mean']:.1f}")
    if found is not None:
        values = ""
        if found["predicted"] is not None:
            values = f"{found['predicted']:.0f} predicted, {found['earned']:.0f} earned; "
        lines.append(f"q*: {values}above {100 * found['above_random']:.0f}% of random actions")
    lines.append(f"{results['steps_per_second']:.0f} updates/s, {results['seconds']:.0f} s")
    return "\n".join(lines)
