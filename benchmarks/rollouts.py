"""Environment steps per second in Gymnasium and in MJX, and what compiling MJX costs.

    python benchmarks/rollouts.py
    python benchmarks/rollouts.py --task=walker2d --batch_sizes=16,4096 --seconds=20

On a CPU thousands together may hang XLA (docs/rollouts.md), so the default ends at 256.

The package's expert acts, so that nobody falls. Compilation is measured in new processes, cold (an
empty folder of compiled programs) and warm (the same folder again): tracing, and compiling or
reading, of what starts and what steps 256 environments. Imports and the model are counted apart.
Beside each rate is how many cores the process had meanwhile, which tells a shared machine.
"""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np

from obd_jax import environments, evaluation, numerics, teachers
from obd_jax.cli import define_flags, run_main, settings_from_flags
from obd_jax.evaluation import mjx
from obd_jax.settings import option
from obd_jax.types import Policy

TASKS = ("hopper", "halfcheetah", "walker2d")
COMPILED_BATCH = 256


@dataclasses.dataclass(frozen=True)
class Config:
    """What is timed; each field is a flag of the same name."""

    task: str | None = option(None, f"One of {', '.join(TASKS)}; absent: all.")
    batch_sizes: tuple[int, ...] = option((1, 16, 256), "Environments that step together.")
    seconds: float = option(10.0, "Of stepping, for each rate, at least.")
    compilation_alone: bool = option(False, "Print one line of JSON: how long compiling took.")


def run(config: Config) -> None:
    """Print the table of each task."""
    for task in [config.task] if config.task else TASKS:
        spec = environments.simulated_by(environments.get(task), "mjx")
        if config.compilation_alone:
            print(json.dumps(compilation(spec)))
            continue
        with tempfile.TemporaryDirectory() as folder:
            for name in ("cold", "warm"):
                parts = in_new_process(task, folder)
                each = ", ".join(f"{part} {a:.1f} ({b:.1f})" for part, (a, b) in parts.items())
                print(f"{task}, {name} start, seconds (of CPU): {each}", flush=True)
        policy = expert(task)
        print(f"{'batch':>6}{'Gymnasium, steps/s':>20}{'cores':>7}{'MJX, steps/s':>14}{'cores':>7}")
        for batch in config.batch_sizes:
            theirs = gymnasium_rate(policy, spec, batch, config.seconds)
            ours = mjx_rate(policy, spec, batch, config.seconds)
            columns = "".join(f"{rate:>14.0f}{cores:>7.2f}" for rate, cores in (theirs, ours))
            print(f"{batch:>6}      {columns}", flush=True)


def expert(task: str) -> Policy:
    """The package's policy behind `expert` data."""
    teacher = teachers.behavior_teacher(task)
    return lambda _, observations: teacher.act(observations)


def in_new_process(task: str, folder: str) -> dict[str, tuple[float, float]]:
    """What `compilation` measures there, with compiled programs kept in `folder`."""
    kept = {
        "JAX_COMPILATION_CACHE_DIR": folder,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
    }
    done = subprocess.run(
        [sys.executable, __file__, f"--task={task}", "--compilation_alone"],
        env={**os.environ, **kept},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def compilation(spec: environments.EnvironmentSpec) -> dict[str, tuple[float, float]]:
    """Seconds, and seconds of CPU, of each part of getting ready."""
    policy = expert(spec.name)
    seconds = {}

    def timed(name, function, *arguments):
        began, cpu = time.perf_counter(), time.process_time()
        result = function(*arguments)
        seconds[name] = (time.perf_counter() - began, time.process_time() - cpu)
        return result

    timed("imports and model", evaluation.brax_environment, spec)
    keys, params = jax.random.split(jax.random.key(0), (1, COMPILED_BATCH)), jnp.zeros(1)
    start, advance = timed(
        "trace or read MJX", mjx.programs, policy, spec.name, spec.simulator, 1, COMPILED_BATCH
    )
    members = jax.eval_shape(start, keys)
    lowered = (
        timed("trace start", start.lower, keys),
        timed("trace step", advance.lower, params, members, 1),
    )
    timed("compile or read start", lowered[0].compile)
    timed("compile or read step", lowered[1].compile)
    wall, cpu = (sum(column) for column in zip(*list(seconds.values())[1:], strict=True))
    seconds["in all but imports and model"] = (wall, cpu)
    return seconds


def mjx_rate(
    policy: Policy, spec: environments.EnvironmentSpec, batch: int, seconds: float
) -> tuple[float, float]:
    """Steps per second, and cores, of `batch` environments in MJX, compilation not counted."""
    start, advance = mjx.programs(policy, spec.name, spec.simulator, 1, batch)
    params = jnp.zeros(1)
    members = start(jax.random.split(jax.random.key(0), (1, batch)))
    members = jax.block_until_ready(advance(params, members, 1))
    block, done, began, cpu = 1, 0, time.perf_counter(), time.process_time()
    while (spent := time.perf_counter() - began) < seconds:
        members = advance(params, members, block)
        done += int(members.steps.sum())
        block = min(2 * block, mjx.BLOCK)
    return done / spent, (time.process_time() - cpu) / spent


def gymnasium_rate(
    policy: Policy, spec: environments.EnvironmentSpec, batch: int, seconds: float
) -> tuple[float, float]:
    """The same in Gymnasium, stepped as `gymnasium_returns` does."""
    act, rows = jax.jit(jax.vmap(policy)), np.arange(batch)
    copies = environments.make_copies(spec, batch, numerics.cores())
    for row in rows:
        copies.reset(int(row), int(row))
    act(jnp.zeros(1), copies.observations[None])
    done, began, cpu = 0, time.perf_counter(), time.process_time()
    while (spent := time.perf_counter() - began) < seconds:
        actions = np.asarray(act(jnp.zeros(1), copies.observations[None]))[0]
        _, terminated, truncated = copies.step(rows, actions)
        for row in rows[terminated | truncated]:
            copies.reset(int(row))
        done += batch
    cores = (time.process_time() - cpu) / spent
    copies.close()
    return done / spent, cores


def main() -> None:
    """Entry point."""
    run(settings_from_flags(Config))


if __name__ == "__main__":
    define_flags(Config)
    run_main(main)
