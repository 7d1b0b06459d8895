"""Seconds of a set's outer step, alone and in a population on this machine's devices.

    python benchmarks/population.py --student=kernel --devices=2
    python benchmarks/population.py --members=8,45,128 --precision=highest,high,default

The papers' network (T = 100, 256 pairs, batches of 2,560) or the default kernel student (batches of
1,024). On a CPU, --devices splits it: two devices then run two sets side by side. What is compared
is timed in turn, round by round; networks also beside the machine's matrix rate (`rates.py`) in the
same precision. The second command is for accelerators.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
from paired import ratio
from rates import matmul_rate, useful_flops

from obd_jax import distill, students
from obd_jax.cli import define_flags, run_main, settings_from_flags
from obd_jax.numerics import PRECISIONS
from obd_jax.settings import option
from obd_jax.types import InvalidInputError, Student, SyntheticData, Targets

D, A, N, STATES = 17, 6, 256, 100_000
HIDDEN, T = (256, 256, 256), 100


@dataclasses.dataclass(frozen=True)
class Config:
    """What is timed; each field is a flag of the same name."""

    student: str = option("mlp", "mlp or kernel.")
    members: tuple[int, ...] = option((8,), "P, sets in the population; several, comma-separated.")
    devices: int = option(1, "CPU devices; of accelerators, all there are.")
    blocks: int = option(4, "Timed blocks of a round; their median counts.")
    rounds: int = option(3, "Rounds.")
    precision: str = option(
        "highest", f"Of matrix products on GPUs and TPUs, any of {', '.join(PRECISIONS)}."
    )


def make_student(name: str) -> tuple[Student, int, int]:
    """Student, states per batch and outer steps per block."""
    if name == "mlp":
        return students.mlp(A, hidden_sizes=HIDDEN, steps=T, optimizer=optax.sgd(0.1)), 2560, 10
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
    """Print seconds alone, and together in both ways, for each precision."""
    make_student(config.student)
    precisions = config.precision.split(",")
    if unknown := set(precisions) - set(PRECISIONS):
        raise InvalidInputError(
            f"unknown precision {min(unknown)!r}; known: {', '.join(PRECISIONS)}"
        )
    if config.devices > 1:
        jax.config.update("jax_num_cpu_devices", config.devices)
    for precision in precisions:
        print(f"{config.student}, {precision} precision, {jax.devices()[0].device_kind}")
        with jax.default_matmul_precision(precision):
            compare(config)


def compare(config: Config) -> None:
    """Print the lines of one precision, which is set."""
    mesh, first = distill.device_mesh(), distill.device_mesh(jax.devices()[:1])
    cases = {"one set alone": (1, first, True)}
    for members in config.members:
        together = f"{members} sets on {mesh.size} devices"
        cases[f"{together}, one by one"] = (members, mesh, True)
        cases[f"{together}, in every operation"] = (members, mesh, False)
    found: dict[str, list[float]] = {name: [] for name in cases}
    rates: list[float] = []
    for _ in range(config.rounds):
        rates.append(matmul_rate(5))
        for name, case in cases.items():
            found[name].append(seconds(config, *case))
    alone = found["one set alone"]
    flops = useful_flops(T, N, (D, *HIDDEN, A))
    for name, each in found.items():
        line = f"{name}: {spread(each)} s a set and step"
        if each is not alone:
            gain = ratio(alone, each)
            line += f", {gain['median']:.2f} ({gain['least']:.2f} to {gain['largest']:.2f}) times"
            line += " the rate of one after another"
        if config.student == "mlp":
            relative = [flops / s / rate for s, rate in zip(each, rates, strict=True)]
            line += f"; {flops / np.median(each):.3g} useful FLOP/s"
            line += f", over those of 256 x 256 products {spread(relative)}"
        print(line)


def spread(values: list[float]) -> str:
    """Median, least and largest."""
    return f"{np.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def main() -> None:
    """Entry point."""
    run(settings_from_flags(Config))


if __name__ == "__main__":
    define_flags(Config)
    run_main(main)
