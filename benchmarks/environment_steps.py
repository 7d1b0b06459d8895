"""Steps of a locomotion task per second: one by one in Gymnasium, in a batch, and in EnvPool.

    python benchmarks/environment_steps.py
    python benchmarks/environment_steps.py --task=walker2d --rounds=9
    python benchmarks/environment_steps.py --envpool

Evaluation: many copies advance together, on all cores, and the package's expert acts; who has
fallen starts again. Recording: the policy behind `medium` data, in one process with one thread, of
which a recording has one for each core; the seconds are those of its core. Rounds alternate. Each
line has medians and ranges, and the ratio to Gymnasium within rounds. EnvPool is not part of this
project.
"""

import dataclasses
import functools
import time
from collections.abc import Callable
from unittest import mock

import jax
import numpy as np
from threadpoolctl import threadpool_limits

from obd_jax import environments, recorded, teachers
from obd_jax.cli import define_flags, run_main, settings_from_flags
from obd_jax.environments.copies import Copies, OneByOne, Steps
from obd_jax.numerics import cores
from obd_jax.settings import option

TASKS = ("hopper", "halfcheetah", "walker2d")


@dataclasses.dataclass(frozen=True)
class Config:
    """What is timed; each field is a flag of the same name."""

    task: str | None = option(None, f"One of {', '.join(TASKS)}; absent: all.")
    copies: int = option(100, "Of the task, that advance together in an evaluation.")
    steps: int = option(100, "Of each copy, in a round.")
    rows: int = option(16_000, "To record, in a round.")
    rounds: int = option(7, "Alternating.")
    envpool: bool = option(False, "Time EnvPool, too, which must be installed.")


def run(config: Config) -> None:
    """Print the table of each task."""
    for task in [config.task] if config.task else TASKS:
        spec, act = environments.get(task), jax.jit(teachers.behavior_teacher(task).act)
        evaluated: dict[str, Copies] = {
            "Gymnasium": OneByOne(spec, config.copies),
            "batch": environments.make_copies(spec, config.copies, cores()),
        }
        if config.envpool:
            evaluated["EnvPool"] = InEnvPool(spec, config.copies)
        report(
            f"{task}, steps per second in an evaluation of {config.copies}",
            {
                name: functools.partial(evaluation_rate, copies, act, config.steps)
                for name, copies in evaluated.items()
            },
            config.rounds,
        )
        makers: dict[str, Callable[..., Copies]] = {
            "Gymnasium": OneByOne,
            "batch": environments.make_copies,
        }
        report(
            f"{task}, rows per second of a core in a recording",
            {
                name: functools.partial(recording_rate, make, task, config.rows)
                for name, make in makers.items()
            },
            config.rounds,
        )


def report(title: str, rates: dict[str, Callable[[], float]], rounds: int) -> None:
    """Measure rates in alternation, after one round that is not counted, and print them."""
    measured = np.array([[rate() for rate in rates.values()] for _ in range(rounds + 1)])[1:]
    print(title)
    for name, own, ratio in zip(rates, measured.T, (measured / measured[:, :1]).T, strict=True):
        middle, low, high = (int(f(own)) for f in (np.median, np.min, np.max))
        ratios = f"{np.median(ratio):.2f} ({ratio.min():.2f} to {ratio.max():.2f})"
        print(f"  {name:<10}{middle:>8,} ({low:,} to {high:,}), ratio {ratios}", flush=True)


def evaluation_rate(
    copies: Copies, act: Callable[[np.ndarray], jax.Array], steps: int, seed: int = 0
) -> float:
    """Steps of a copy per second, policy and resets included."""
    rows = np.arange(len(copies.observations))
    for row in rows:
        copies.reset(int(row), seed + int(row))
    began = time.perf_counter()
    for _ in range(steps):
        _, terminated, truncated = copies.step(rows, np.asarray(act(copies.observations)))
        for row in rows[terminated | truncated]:
            copies.reset(int(row))
    return steps * len(rows) / (time.perf_counter() - began)


def recording_rate(make: Callable[..., Copies], task: str, rows: int) -> float:
    """Rows per second of CPU time."""
    act = recorded.snapshot(task, recorded.ROLES[task]["medium"]).sample
    began = time.process_time()
    with threadpool_limits(1), mock.patch.object(recorded.rollouts, "make_copies", make):
        recorded.roll_out(act, environments.get(task), rows, seed=0)
    return rows / (time.process_time() - began)


class InEnvPool:
    """Copies in EnvPool, which resets by itself those whose episodes have ended."""

    def __init__(self, environment: environments.EnvironmentSpec, count: int):
        import envpool

        self._pool = envpool.make_gymnasium(
            environment.gymnasium_id, num_envs=count, num_threads=cores(), seed=0
        )
        self.action_size, self.horizon = self._pool.action_space.shape[0], 0
        self.observations = self._pool.reset()[0].astype(np.float32)

    def reset(self, row: int, seed: int | None = None) -> None:
        """Nothing: episodes go on."""

    def step(self, rows: np.ndarray, actions: np.ndarray) -> Steps:
        """As of `Copies`, of all."""
        found, *steps, _ = self._pool.step(actions.astype(np.float64))
        self.observations = found.astype(np.float32)
        return Steps(*steps)

    def close(self) -> None:
        """As of `Copies`."""
        self._pool.close()


def main() -> None:
    """Entry point."""
    run(settings_from_flags(Config))


if __name__ == "__main__":
    define_flags(Config)
    run_main(main)
