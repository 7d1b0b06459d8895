"""What an accelerator does: one command of at most 8 minutes, one JSON.

    python benchmarks/accelerator.py --out=docs/results/accelerator.json
    python benchmarks/accelerator.py --members=1,2 --environments=4 --pairs=16 --width=16 \
        --inner_steps=3 --states=64 --steps=2 --blocks=1 --seconds=0.1

Outer steps per second of sets in populations, for every student and for a pool; environment steps
per second in MJX; what the precision of products costs and changes; whether a second run gives the
same set. Each case is a process of its own, so that its peak of memory is known and one that fails
does not end the rest. Cases that there is no time for are named. The second command is one for CPUs
and tests.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import rollouts

from obd_jax import artefacts, distill, environments, runs, students
from obd_jax.cli import define_flags, run_main, settings_from_flags
from obd_jax.distill import Distiller, PoolMember
from obd_jax.settings import OptionError, option
from obd_jax.types import SyntheticData, Targets

Json = dict[str, Any]
D, A = 17, 6
STUDENTS = ("kernel", "mlp", "pool", "lazy_mlp", "random_features")
# Where the precision of products can matter; kernel students always use the highest.
IN_PRECISIONS, PRECISIONS = ("mlp", "pool"), ("highest", "high", "default")
# For two runs to differ as they would in use.
STEPS_TO_COMPARE = 50


@dataclasses.dataclass(frozen=True)
class Config:
    """What is timed; each field is a flag of the same name."""

    members: tuple[int, ...] = option((1, 8, 45, 128), "P, sets in a population.")
    environments: tuple[int, ...] = option((256, 2048, 8192), "Environments that step together.")
    pairs: int = option(256, "Pairs of a set.")
    width: int = option(256, "Of the networks' three hidden layers.")
    inner_steps: int = option(100, "T of the papers' network.")
    states: int = option(1024, "Real states of a step.")
    steps: int = option(10, "Outer steps of a timed block.")
    blocks: int = option(5, "Timed blocks; their median counts.")
    seconds: float = option(5.0, "Of stepping environments, for each number of them.")
    minutes: float = option(8.0, "No case is begun later, and none runs longer.")
    out: str | None = option(None, "File of the JSON; absent: printed only.")
    case: str | None = option(None, "Measure this case in this process, such as kernel.")


def cases(config: Config) -> list[str]:
    """Names of all cases, the most important first."""
    return [
        *STUDENTS[:2],
        *(f"mjx, {count}" for count in config.environments),
        STUDENTS[2],
        *(f"{name}, {precision}" for name in IN_PRECISIONS for precision in PRECISIONS),
        *(f"{name}, twice" for name in STUDENTS[:3]),
        *STUDENTS[3:],
    ]


def distiller_of(name: str, config: Config) -> Distiller:
    """One step for a student of this name, or for the pool."""
    optimizer, constraint = optax.adam(0.01), distill.squashed()
    kernel = students.KernelRecipe().student(A)
    if name == "pool":
        members = [PoolMember(depth, config.width) for depth in (2, 4)]
        return distill.pool_distiller(
            members, optimizer, students=[(1.0, kernel)], aggregate=jnp.sum, constraint=constraint
        )
    sgd: Json = {
        "steps": config.inner_steps,
        "learning_rate": 0.1,
        "momentum": 0.0,
        "cloning": "action",
    }
    made = {
        "kernel": lambda: kernel,
        "mlp": lambda: students.MLPRecipe(
            hidden_sizes=(config.width,) * 3, optimizer="sgd", **sgd
        ).student(A),
        "lazy_mlp": lambda: students.LazyMLPRecipe(**sgd).student(A),
        "random_features": lambda: students.RECIPES["random_features"]().student(A),
    }
    return distill.distiller(made[name](), optimizer, constraint=constraint)


def distilled(
    name: str, config: Config, members: int, steps: int, per_call: int, callback: Callable[..., Any]
) -> Any:
    """Sets of a population after so many steps, on states and actions that are random."""
    keys = jax.random.split(jax.random.key(0), 5)
    targets = Targets(
        jax.random.normal(keys[0], (50_000, D)),
        jax.random.uniform(keys[1], (50_000, A), minval=-0.9, maxval=0.9),
        jnp.ones(50_000),
    )
    synthetic = SyntheticData(
        jax.random.normal(keys[2], (members, config.pairs, D)),
        jax.random.uniform(keys[3], (members, config.pairs, A), minval=-0.9, maxval=0.9),
    )
    states, _ = distill.train_population(
        jax.random.split(keys[4], members),
        lambda _: distiller_of(name, config),
        (),
        targets,
        synthetic,
        steps=steps,
        batch_size=config.states,
        steps_per_call=per_call,
        callback=callback,
    )
    return jax.device_get(states.synthetic)


def rate(name: str, config: Config, members: int) -> Json:
    """Outer steps per second of all sets together, and the loss at the end."""
    records: list[Json] = []
    steps = config.steps * (config.blocks + 1)  # The first block is compiled and not counted.
    keep = lambda _, record: records.append(record)  # noqa: E731
    distilled(name, config, members, steps, config.steps, keep)
    seconds = float(np.median(np.diff([record["seconds"] for record in records])))
    return {
        "steps_per_second": config.steps / seconds,
        "set_steps_per_second": config.steps * members / seconds,
        "seconds_with_compilation": records[-1]["seconds"],
        "loss": float(np.mean(records[-1]["loss"])),
    }


def peak_bytes() -> int | None:
    """Of device memory, since the process began; None: not known, as on CPUs."""
    statistics = jax.devices()[0].memory_stats() or {}
    return statistics.get("peak_bytes_in_use")


def by_members(name: str, config: Config) -> Json:
    """Rates and peaks by the number of sets, least first, so that a peak is that of its number."""
    found: Json = {}
    for members in sorted(config.members):
        try:
            found[str(members)] = {**rate(name, config, members), "peak_bytes": peak_bytes()}
        except jax.errors.JaxRuntimeError as error:  # Out of memory: the rest would be too.
            found[str(members)] = {"failed": str(error).splitlines()[0][:200]}
            break
        print(json.dumps({"case": name, **found}), flush=True)
    return found


def digest(name: str, config: Config) -> Json:
    """SHA-256 of a set after some steps."""
    made = distilled(name, config, 1, STEPS_TO_COMPARE, config.steps, lambda *_: None)
    content = b"".join(np.ascontiguousarray(array).tobytes() for array in made)
    return {"sha256": hashlib.sha256(content).hexdigest()}


def measured(case: str, config: Config) -> Json:
    """A case, in this process.

    Raises:
        OptionError: it is unknown.
    """
    name, _, variant = case.partition(", ")
    if name == "mjx":
        spec = environments.simulated_by(environments.get("walker2d"), "mjx")
        policy, count = rollouts.expert("walker2d"), int(variant)
        steps, _ = rollouts.mjx_rate(policy, spec, count, config.seconds)
        return {"environment_steps_per_second": steps, "peak_bytes": peak_bytes()}
    if name not in STUDENTS:
        raise OptionError(f"unknown {{case}} {case!r}; known: {'; '.join(cases(config))}")
    with jax.default_matmul_precision(variant if variant in PRECISIONS else "highest"):
        if variant == "twice":
            return digest(name, config)
        return rate(name, config, 1) if variant else by_members(name, config)


def in_new_process(case: str, config: Config, seconds: float) -> Json:
    """What a process prints last of a case, or why it does not."""
    flags = [f"--{name}={_flag(value)}" for name, value in dataclasses.asdict(config).items()
             if name not in ("out", "case", "minutes")]  # fmt: skip
    command = [sys.executable, __file__, f"--case={case}", *flags]
    # Processes follow one another; none takes all memory at its start, so that peaks are known.
    environment = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=seconds
        )
        text, failed = done.stdout, done.stderr.strip()[-300:] if done.returncode else None
    except subprocess.TimeoutExpired as error:
        output = error.stdout or b""
        text = output.decode() if isinstance(output, bytes) else output
        failed = f"not finished after {seconds:.0f} s"
    lines = text.strip().splitlines()
    found = json.loads(lines[-1]) if lines else {}
    found.pop("case", None)
    return found if failed is None else {**found, "failed": failed}


def _flag(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def run(config: Config) -> Json:
    """All cases, or one."""
    if config.case is not None:
        found = measured(config.case, config)
        print(json.dumps(found), flush=True)
        return found
    end, found = time.monotonic() + 60 * config.minutes, Json()
    left: Callable[[], float] = lambda: end - time.monotonic()  # noqa: E731
    for case in cases(config):
        if left() < 20:
            found[case] = {"skipped": "no time was left"}
            continue
        found[case] = one(case, config, left)
        print(f"{case}: {json.dumps(found[case])}", file=sys.stderr, flush=True)
    device = jax.devices()[0]
    result = {
        "device": {"kind": device.device_kind, "platform": device.platform},
        "cases": found,
        "config": {**dataclasses.asdict(config), "out": None},
        "provenance": artefacts.provenance(),
    }
    print(json.dumps(result))
    if config.out is not None:
        runs.write_json(pathlib.Path(config.out), result)
    return result


def one(case: str, config: Config, left: Callable[[], float]) -> Json:
    """A case; "twice" in two processes."""
    if not case.endswith(", twice"):
        return in_new_process(case, config, left())
    pair = [in_new_process(case, config, max(left(), 1.0)) for _ in range(2)]
    if failed := [each["failed"] for each in pair if "failed" in each]:
        return {"failed": failed[0]}
    return {"equal": pair[0] == pair[1], "sha256": [each["sha256"] for each in pair]}


def main() -> None:
    """Entry point."""
    run(settings_from_flags(Config))


if __name__ == "__main__":
    define_flags(Config)
    run_main(main)
