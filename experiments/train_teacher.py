"""Train a teacher, pi* and q*, on offline data; the same command goes on where it stopped.

python experiments/train_teacher.py --dataset=walker2d-medium-expert --out=runs/teacher
"""

import dataclasses
import pathlib
import sys
import time
from typing import Any

import jax
import numpy as np
from inputs import load_data, task_of
from resume import saving, says_how_to_go_on
from train_behavior import write_rows

from obd_jax import artefacts, data, environments, evaluation, teachers
from obd_jax.command_line import Progress, config_from_flags, define_flags, field, run_main
from obd_jax.numerics import PRECISIONS
from obd_jax.types import InvalidInputError, OfflineData, Teacher

BLOCK = 1000
# Seeds of episodes: those of the curve never serve the final score.
CURVE_SEED, FINAL_SEED = 10_000, 20_000
CURVE_EPISODES = 5
# What may differ when a training goes on.
FREE = ("out", "checkpoint_minutes")


@dataclasses.dataclass(frozen=True)
class Config:
    """A training; each field is a flag of the same name."""

    out: str | None = field(None, "Folder of teacher, checkpoint and curve. Required.")
    dataset: str | None = field(None, "Data set by name, as for run_sdw.py.")
    source: str = field("auto", f"Of --dataset: one of {', '.join(data.SOURCES)}.")
    data_rows: int | None = field(None, "Rows of embedded data; absent: as many as D4RL has.")
    dataset_path: str | None = field(None, "HDF5 (D4RL layout) or npz file, not with --dataset.")
    env: str | None = field(
        None, "Environment, by name or Gymnasium's id; absent: the one the data set names."
    )
    algorithm: str = field("rebrac", f"One of {', '.join(teachers.ALGORITHMS)}.")
    options: str = field("", "Of the algorithm: name=value,name=value.")
    steps: int = field(100_000, f"Updates, a multiple of {BLOCK}.")
    precision: str = field(
        "highest", f"Of matrix products on GPUs and TPUs: one of {', '.join(PRECISIONS)}."
    )
    seed: int = field(0, "Seed of everything random.")
    episodes: int = field(20, "Episodes of the final score.")
    curve_points: int = field(10, "Scores along training.")
    checkpoint_minutes: float = field(1.0, "Between two checkpoints of training.")


def run(config: Config) -> dict[str, Any]:
    """Train, score and write; returns the content of `results.json`.

    Raises:
        InvalidInputError: input that cannot be used, or a folder of another training.
        teachers.DivergedError: the critics diverged; the last good checkpoint is kept.
        KeyboardInterrupt: a signal ended the training; it can go on.
    """
    if config.out is None:
        raise InvalidInputError("--out is required")
    check(config)
    offline = load_data(config)
    with says_how_to_go_on(pathlib.Path(config.out)):
        return fit(config, task_of(config, offline), offline)


def check(config: Config) -> None:
    """Refuse options out of range before data are read."""
    for name in ("episodes", "curve_points"):
        if getattr(config, name) < 1:
            raise InvalidInputError(f"--{name} must be at least 1, got {getattr(config, name)}")
    if not config.checkpoint_minutes >= 0:
        raise InvalidInputError(
            f"--checkpoint_minutes must not be negative, got {config.checkpoint_minutes}"
        )
    if config.steps < 1 or config.steps % BLOCK:
        raise InvalidInputError(f"--steps must be a multiple of {BLOCK}, got {config.steps}")
    if config.precision not in PRECISIONS:
        raise InvalidInputError(
            f"unknown precision {config.precision!r}; known: {', '.join(PRECISIONS)}"
        )
    teachers.make_algorithm(config.algorithm, 1, 1, parse_options(config.options))


def fit(
    config: Config, environment: environments.EnvironmentSpec, offline: OfflineData
) -> dict[str, Any]:
    """Train on data at hand, in the folder `config.out`."""
    assert config.out is not None
    options = parse_options(config.options)
    if config.algorithm == "iql":  # Its learning rate falls over the whole training.
        options = {"steps": str(config.steps), **options}
    algorithm = teachers.make_algorithm(
        config.algorithm, offline.observation_size, offline.action_size, options
    )
    trainable = teachers.prepare(algorithm, offline)

    evaluation.check_environment(environment, offline.observation_size, offline.action_size)
    folder = pathlib.Path(config.out)
    precisely = jax.default_matmul_precision(config.precision)
    with precisely, artefacts.alone(folder):
        return fit_alone(config, environment, offline, algorithm, trainable, folder)


def fit_alone(
    config: Config,
    environment: environments.EnvironmentSpec,
    offline: OfflineData,
    algorithm: teachers.Algorithm,
    trainable: teachers.Trainable,
    folder: pathlib.Path,
) -> dict[str, Any]:
    """Train, with the folder for oneself."""
    settings = {k: v for k, v in dataclasses.asdict(config).items() if k not in FREE}
    # More steps go on with a training, but for IQL's, whose learning rate falls until the last.
    lasting = {k: v for k, v in settings.items() if k != "steps" or config.algorithm == "iql"}
    identity = {**lasting, "data_sha256": offline.provenance.sha256}
    artefacts.check_same(folder, "config.json", identity)
    artefacts.write_json(folder / "config.json", identity)
    key = jax.random.key(config.seed)
    form = jax.eval_shape(algorithm.init, key)
    rows: list[dict[str, Any]] = []
    before = 0.0  # Seconds of training.

    def teacher_of(state: teachers.TrainState) -> Teacher:
        teachers.save_teacher(
            folder / "teacher.npz",
            state.actor,
            state.critics[0],
            trainable.normalizer,
            offline.action_size,
            trainable.reward_scale,
            {**card, "step": int(state.step)},
        )
        return teachers.load_teacher(folder / "teacher.npz")

    def score(teacher: Teacher, episodes: int, seed: int) -> np.ndarray:
        return evaluation.score_policies(
            lambda _, observations: teacher.act(observations),
            np.zeros(1),
            environment,
            students=1,
            episodes=episodes,
            seed=seed,
            progress=Progress("roll out teacher, steps"),
        )

    card = {
        "algorithm": config.algorithm,
        "config": settings,
        "provenance": {
            "data": dataclasses.asdict(offline.provenance),
            "environment": {"name": environment.name, "backend": environment.backend},
            "seed": config.seed,
            "software": artefacts.software(),
        },
    }
    progress = Progress(f"train {config.algorithm}, updates")
    every = max(BLOCK, config.steps // config.curve_points // BLOCK * BLOCK)
    scoring = 0.0

    def report(state: teachers.TrainState, record: dict[str, Any]) -> None:
        nonlocal scoring
        progress(record["step"], config.steps, note=f"value {record['value']:.1f}")
        last = record["step"] == config.steps
        seconds = before + record["seconds"] - scoring
        if record["step"] % every == 0 or last:
            start = time.monotonic()
            scores = score(teacher_of(state), CURVE_EPISODES, CURVE_SEED)
            scoring += time.monotonic() - start
            metrics = {k: round(v, 4) for k, v in record.items() if k not in ("step", "seconds")}
            rows.append(
                {
                    "step": record["step"],
                    "seconds": round(seconds, 1),
                    "normalized_return": round(float(scores.mean()), 2),
                    "lowest": round(float(scores.min()), 2),
                    **metrics,
                }
            )
            write_rows(folder / "curve.csv", rows)
        saver(record["step"], state, {"rows": rows, "seconds": seconds}, now=last)

    with saving(folder, "train", form, config.checkpoint_minutes) as saver:
        state = None
        if saver.found is not None:
            state, rows = saver.found.state, saver.found.notes["rows"]
            before = saver.found.notes["seconds"]
            if saver.found.step < config.steps:
                # What it says will not be true of the teacher any more.
                (folder / "results.json").unlink(missing_ok=True)
        state = teachers.train(
            key, algorithm, trainable, steps=config.steps, state=state, block=BLOCK, callback=report
        )
    teacher = teacher_of(state)
    seconds = float(rows[-1]["seconds"])
    episodes = environments.normalized_score(environment, offline.episode_returns)
    results = {
        "returns": {
            "teacher": evaluation.summarize(score(teacher, config.episodes, FINAL_SEED)),
            "data": evaluation.summarize(episodes[None, :]) if len(episodes) else None,
        },
        "q_calibration": (
            None
            if environment.gymnasium_id is None
            else teachers.q_calibration(
                teacher, environment, offline, discount=algorithm.discount, seed=FINAL_SEED
            )
        ),
        "steps_per_second": config.steps / seconds,
        "seconds": seconds,
        **card,
    }
    artefacts.write_json(folder / "results.json", results)
    print(summary(results))
    print(f"written to {folder} (the teacher: teacher.npz)")
    return results


def parse_options(text: str) -> dict[str, str]:
    """Text name=value,name=value -> the options."""
    options = {}
    for item in filter(None, text.split(",")):
        name, equals, value = item.partition("=")
        if not equals:
            raise InvalidInputError(f"--options takes name=value,name=value; got {text!r}")
        options[name] = value
    return options


def summary(results: dict[str, Any]) -> str:
    """What ends a training."""
    teacher, found = results["returns"]["teacher"], results["q_calibration"]
    low, high = teacher["ci95"]
    lines = [f"teacher {teacher['mean']:.1f} [{low:.1f}, {high:.1f}], normalised return"]
    if results["returns"]["data"] is not None:
        lines.append(f"data    {results['returns']['data']['mean']:.1f}")
    if found is not None:
        lines.append(
            f"q*: {found['predicted']:.0f} predicted, {found['earned']:.0f} earned; above "
            f"{100 * found['above_random']:.0f}% of random actions"
        )
    lines.append(f"{results['steps_per_second']:.0f} updates/s, {results['seconds']:.0f} s")
    return "\n".join(lines)


def main() -> None:
    """Entry point."""
    try:
        run(config_from_flags(Config, {}))
    except teachers.DivergedError as error:
        sys.exit(f"error: {error}")
    except OSError as error:  # Of a disk that is full, most often.
        sys.exit(f"error: {error}; what is saved stays, and the same command goes on from it")


if __name__ == "__main__":
    define_flags(Config)
    run_main(main)
