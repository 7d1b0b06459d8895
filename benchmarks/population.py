"""Seconds of a set's outer step, alone and in a population on this machine's devices.

    python benchmarks/population.py --student=kernel --devices=2

The papers' network (T = 100, 256 pairs, batches of 2,560) or the default kernel student (batches of
1,024). On a CPU, --devices splits it: two devices then run two sets side by side.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax

from obd_jax import distill, students
from obd_jax.command_line import config_from_flags, define_flags, field, run_main
from obd_jax.types import InvalidInputError, Student, SyntheticData, Targets

D, A, N, STATES = 17, 6, 256, 100_000


@dataclasses.dataclass(frozen=True)
class Config:
    """What is timed; each field is a flag of the same name."""

    student: str = field("mlp", "mlp or kernel.")
    members: int = field(8, "P, sets in the population.")
    devices: int = field(1, "CPU devices; of accelerators, all there are.")
    blocks: int = field(4, "Timed blocks; the median is reported.")


def make_student(name: str) -> tuple[Student, int, int]:
    """Student, states per batch and outer steps per block."""
    if name == "mlp":
        return students.mlp(A, steps=100, optimizer=optax.sgd(0.1)), 2560, 2
    if name == "kernel":
        return students.KernelRecipe("ntk", 3, 0.3, 1e-3, 1.0).student(A), 1024, 50
    raise InvalidInputError(f"unknown student {name!r}; known: mlp, kernel")


def seconds(config: Config, members: int, mesh: jax.sharding.Mesh, one_by_one: bool) -> float:
    """Median seconds of a member's step."""
    student, batch_size, steps = make_student(config.student)
    keys = jax.random.split(jax.random.key(0), 5)
    targets = Targets(
        jax.random.normal(keys[0], (STATES, D)),
        jax.random.uniform(keys[1], (STATES, A), minval=-1.0),
        jnp.ones(STATES),
    )
    synthetic = SyntheticData(
        jax.random.normal(keys[2], (members, N, D)),
        jax.random.uniform(keys[3], (members, N, A), minval=-1.0),
    )
    at: list[float] = []
    distill.train_population(
        jax.random.split(keys[4], members),
        lambda _: distill.distiller(student, optax.adam(0.02), constraint=distill.clipped()),
        (),
        targets,
        synthetic,
        steps=steps * (config.blocks + 1),
        batch_size=batch_size,
        steps_per_call=steps,
        mesh=mesh,
        one_by_one=one_by_one,
        callback=lambda _, record: at.append(record["seconds"]),
    )
    return float(np.median(np.diff(at))) / steps / members


def run(config: Config) -> None:
    """Print seconds alone, and together in both ways."""
    make_student(config.student)
    if config.devices > 1:
        jax.config.update("jax_num_cpu_devices", config.devices)
    alone = seconds(config, 1, distill.device_mesh(jax.devices()[:1]), True)
    print(f"one set alone: {alone:.4g} s a step")
    mesh = distill.device_mesh()
    for one_by_one, name in ((True, "one by one"), (False, "in every operation")):
        each = seconds(config, config.members, mesh, one_by_one)
        print(
            f"{config.members} sets on {mesh.size} devices, {name}: {each:.4g} s a set and step, "
            f"{alone / each:.2f} of the rate of one after another"
        )


def main() -> None:
    """Entry point."""
    run(config_from_flags(Config, {}))


if __name__ == "__main__":
    define_flags(Config)
    run_main(main)
