"""Train a teacher, pi* and q*, on offline data; the same command goes on where it stopped.

python experiments/train_teacher.py --dataset=walker2d-medium-expert --out=runs/teacher
"""

import csv
import dataclasses
import json
import pathlib
import sys
import time
from typing import Any

import jax
import numpy as np
from inputs import load_data, task_of
from train_behavior import check_same, write_rows

from obd_jax import artefacts, data, environments, evaluation, teachers
from obd_jax.command_line import Progress, config_from_flags, define_flags, field, note, run_main
from obd_jax.types import InvalidInputError, OfflineData, Teacher

BLOCK = 1000
# Seeds of episodes: those of the curve never serve the final score.
CURVE_SEED, FINAL_SEED = 10_000, 20_000
CURVE_EPISODES = 5


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
    seed: int = field(0, "Seed of everything random.")
    episodes: int = field(20, "Episodes of the final score.")
    curve_points: int = field(10, "Scores and checkpoints along training.")


def run(config: Config) -> dict[str, Any]:
    """Train, score and write; returns the content of `results.json`.

    Raises:
        InvalidInputError: input that cannot be used, or a folder of another training.
        teachers.DivergedError: the critics diverged; the last good checkpoint is kept.
    """
    if config.out is None:
        raise InvalidInputError("--out is required")
    check(config)
    offline = load_data(config)
    return fit(config, task_of(config, offline), offline)


def check(config: Config) -> None:
    """Refuse options out of range before data are read."""
    for name in ("episodes", "curve_points"):
        if getattr(config, name) < 1:
            raise InvalidInputError(f"--{name} must be at least 1, got {getattr(config, name)}")
    if config.steps < 1 or config.steps % BLOCK:
        raise InvalidInputError(f"--steps must be a multiple of {BLOCK}, got {config.steps}")
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
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInputError(f"--out {folder} cannot be written: {error}") from error
    settings = {k: v for k, v in dataclasses.asdict(config).items() if k != "out"}
    # More steps go on with a training, but for IQL's, whose learning rate falls until the last.
    lasting = {k: v for k, v in settings.items() if k != "steps" or config.algorithm == "iql"}
    check_same(folder / "config.json", {**lasting, "data_sha256": offline.provenance.sha256})
    key = jax.random.key(config.seed)
    rows: list[dict[str, Any]] = []
    state = None
    checkpoint = folder / "checkpoint.npz"
    if checkpoint.exists():
        like = jax.eval_shape(algorithm.init, key)
        state = artefacts.load_checkpoint(checkpoint, jax.tree.map(_zeros, like))
        note(f"goes on from {checkpoint}, step {int(state.step)}")
        if int(state.step) < config.steps:
            # What it says will not be true of the teacher any more.
            (folder / "results.json").unlink(missing_ok=True)
        rows = [r for r in read_rows(folder / "curve.csv") if int(r["step"]) <= int(state.step)]
        if not rows:
            raise InvalidInputError(f"{folder} has a checkpoint and lacks its curve.csv")

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
    before = float(rows[-1]["seconds"]) if rows else 0.0
    every = max(BLOCK, config.steps // config.curve_points // BLOCK * BLOCK)
    scoring = 0.0

    def report(state: teachers.TrainState, record: dict[str, Any]) -> None:
        nonlocal scoring
        progress(record["step"], config.steps, note=f"value {record['value']:.1f}")
        if record["step"] % every and record["step"] != config.steps:
            return
        start = time.monotonic()
        scores = score(teacher_of(state), CURVE_EPISODES, CURVE_SEED)
        seconds = before + record["seconds"] - scoring
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
        artefacts.save_checkpoint(checkpoint, state)

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
    temporary = folder / ".results.json.part"
    temporary.write_text(json.dumps(results, indent=2, allow_nan=False) + "\n")
    temporary.replace(folder / "results.json")
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


def read_rows(path: pathlib.Path) -> list[dict[str, Any]]:
    """Rows of the curve so far."""
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def _zeros(leaf: Any) -> Any:
    if jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.key(0)
    return np.zeros(leaf.shape, leaf.dtype)


def main() -> None:
    """Entry point."""
    try:
        run(config_from_flags(Config, {}))
    except teachers.DivergedError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    define_flags(Config)
    run_main(main)
