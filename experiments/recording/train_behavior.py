"""Train a behaviour policy by soft actor-critic, keeping snapshots along the way.

    python experiments/recording/train_behavior.py --env=hopper --out=runs/behavior/hopper

The same command resumes from the last checkpoint of the folder. Written there: `curve.csv`, a
row per interval with the returns of the training episodes that ended in it, and `policies/`, the
policy at the end of each.
"""

import csv
import dataclasses
import pathlib
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sac import SACState, Transitions, sac

from obd_jax import environments, recorded, runs
from obd_jax.cli import define_flags, run_main, settings_from_flags
from obd_jax.reporting import Progress, note
from obd_jax.settings import OptionError, option, positive

# As rlkit: steps in the environment and then as many updates, in turns.
BLOCK = 1000


@dataclasses.dataclass(frozen=True)
class Config:
    """A training; each field is a flag of the same name."""

    env: str | None = option(None, "Environment, by name or Gymnasium's id. Required.")
    out: str | None = option(None, "Folder, new or of a training to resume. Required.")
    steps: int = option(1_000_000, "Steps in the environment, and updates.")
    seed: int = option(0, "Seed of everything random.")
    batch_size: int = option(128, "Transitions per update.")
    learning_rate: float = option(3e-4, "Of Adam.")
    random_steps: int = option(5000, "Steps of uniformly random actions at the beginning.")
    interval: int = option(10_000, "Steps between two snapshots and rows of the curve.")
    checkpoint_interval: int = option(100_000, "Steps between two checkpoints.")


class Replay:
    """All transitions so far, in host memory."""

    def __init__(self, capacity: int, observation_size: int, action_size: int):
        shapes = ((observation_size,), (action_size,), (), (observation_size,), ())
        self.columns = Transitions(*(np.zeros((capacity, *shape), np.float32) for shape in shapes))
        self.size = 0

    def add(self, *transition: Any) -> None:
        """Append one transition."""
        for column, value in zip(self.columns, transition, strict=True):
            column[self.size] = value
        self.size += 1

    def sample(self, generator: np.random.Generator, shape: tuple[int, int]):
        """Transitions drawn evenly with replacement, with `shape` as leading axes."""
        rows = generator.integers(self.size, size=shape)
        return Transitions(*(jnp.asarray(column[rows]) for column in self.columns))


def save_checkpoint(path: pathlib.Path, state: SACState, replay: Replay) -> None:
    """Write all that training resumes from, whole or not at all."""
    leaves = jax.tree.leaves(state._replace(key=jax.random.key_data(state.key)))
    arrays: dict[str, Any] = {f"state_{i}": np.asarray(leaf) for i, leaf in enumerate(leaves)}
    for name, column in replay.columns._asdict().items():
        arrays[name] = column[: replay.size]
    temporary = path.with_name(f".{path.name}.part")
    with open(temporary, "wb") as file:
        np.savez(file, **arrays)
    temporary.replace(path)


def steps_of(path: pathlib.Path) -> int:
    """Steps of the checkpoint, 0 if there is none."""
    if not path.exists():
        return 0
    with np.load(path) as file:
        return len(file["rewards"])


def load_checkpoint(path: pathlib.Path, state: SACState, replay: Replay) -> SACState:
    """Fill the replay buffer and return the state, shaped like the one given."""
    leaves, structure = jax.tree.flatten(state)
    with np.load(path) as file:
        leaves = [jnp.asarray(file[f"state_{i}"]) for i in range(len(leaves))]
        replay.size = len(file["rewards"])
        for name, column in replay.columns._asdict().items():
            column[: replay.size] = file[name]
    state = jax.tree.unflatten(structure, leaves)
    return state._replace(key=jax.random.wrap_key_data(state.key))


def train(config: Config) -> pathlib.Path:
    """Train until `config.steps`, from the folder's checkpoint if there is one."""
    if not (config.env and config.out):
        raise OptionError("{env} and {out} are required")
    for name in ("steps", "batch_size", "learning_rate", "interval", "checkpoint_interval"):
        positive(**{name: getattr(config, name)})
    if config.checkpoint_interval % config.interval or config.interval % BLOCK:
        raise OptionError(
            f"{{checkpoint_interval}} must be a multiple of {{interval}}, and that of {BLOCK}, got "
            f"{config.checkpoint_interval} and {config.interval}"
        )
    specification = environments.get(config.env)
    env = environments.make(specification)
    assert env.observation_space.shape is not None
    assert env.action_space.shape is not None
    (observation_size,), (action_size,) = env.observation_space.shape, env.action_space.shape

    folder = pathlib.Path(config.out)
    checkpoint = folder / "checkpoint.npz"
    if (done := steps_of(checkpoint)) > config.steps:
        raise OptionError(f"{{steps}} is {config.steps}, and {checkpoint} has {done} already")
    (folder / "policies").mkdir(parents=True, exist_ok=True)
    settings = {k: v for k, v in dataclasses.asdict(config).items() if k not in ("out", "steps")}
    runs.check_same(folder, "config.json", settings)
    runs.write_json(folder / "config.json", settings)

    algorithm = sac(observation_size, action_size, learning_rate=config.learning_rate)
    update = jax.jit(lambda state, batches: jax.lax.scan(algorithm.update, state, batches))
    replay = Replay(config.steps + BLOCK, observation_size, action_size)
    state = algorithm.init(jax.random.key(config.seed))
    if checkpoint.exists():
        state = load_checkpoint(checkpoint, state, replay)
        note(f"resumes from {checkpoint}, {replay.size} steps")
    rows = kept_rows(folder / "curve.csv", replay.size)
    generator = np.random.default_rng([config.seed, replay.size])
    progress, started = Progress(f"{config.env}, steps"), time.monotonic() - last_seconds(rows)
    returns: list[float] = []
    metrics: dict[str, Any] = {}
    episode_return, (observation, _) = 0.0, env.reset(seed=config.seed + replay.size)

    while replay.size < config.steps:
        policy = recorded.BehaviorPolicy.from_params(state.actor)
        for _ in range(BLOCK):
            if replay.size < config.random_steps:
                action = generator.uniform(-1, 1, action_size).astype(np.float32)
            else:
                action = policy.sample(generator, observation.astype(np.float32))
            following, reward, terminated, truncated, _ = env.step(action)
            replay.add(observation, action, reward, following, terminated)
            episode_return += float(reward)
            observation = following
            if terminated or truncated:
                returns.append(episode_return)
                episode_return, (observation, _) = 0.0, env.reset()
        if replay.size >= config.random_steps:
            state, metrics = update(state, replay.sample(generator, (BLOCK, config.batch_size)))
        progress(replay.size, config.steps, note=f"return {np.mean(returns[-10:] or [0]):.0f}")
        if replay.size % config.interval:
            continue
        policy = recorded.BehaviorPolicy.from_params(state.actor)
        recorded.save(folder / "policies" / f"{replay.size:08d}.npz", policy)
        scores = environments.score(specification, returns or [np.nan])
        name = "normalized_return" if specification.normalized else "return"
        rows.append(
            {
                "steps": replay.size,
                "seconds": round(time.monotonic() - started, 1),
                "episodes": len(returns),
                name: round(float(np.mean(scores)), 3),
                "deviation": round(float(np.std(scores)), 3),
                **{k: round(float(jnp.mean(v)), 4) for k, v in metrics.items()},
            }
        )
        runs.write_csv(folder / "curve.csv", rows)
        returns = []
        if replay.size % config.checkpoint_interval == 0:
            save_checkpoint(checkpoint, state, replay)
    env.close()
    note(f"written to {folder}")
    return folder


def kept_rows(path: pathlib.Path, steps: int) -> list[dict[str, Any]]:
    """Rows of the curve up to a step."""
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return [row for row in csv.DictReader(file) if int(row["steps"]) <= steps]


def last_seconds(rows: list[dict[str, Any]]) -> float:
    """Seconds of training so far."""
    return float(rows[-1]["seconds"]) if rows else 0.0


def main() -> None:
    """Entry point."""
    train(settings_from_flags(Config))


if __name__ == "__main__":
    define_flags(Config)
    run_main(main)
