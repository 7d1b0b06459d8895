"""Cost of one outer step at the papers' size, beside the machine's own matrix rate.

    python benchmarks/outer_step.py --json

Useful work is counted as 10 T * 2 N * weights (a forward pass, its backward pass, and the
backward pass of both); recomputation does not count. The matrix rate is that of 256 x 256
float32 products chained in a scan, measured in the same process, before and after.
"""

import json
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import app, flags

from obd_jax import distill, students
from obd_jax.types import SyntheticData, Targets

_JSON = flags.DEFINE_boolean("json", False, "Print one line of JSON instead of a table.")
_PAIRS = flags.DEFINE_integer("pairs", 256, "N, synthetic pairs.")
_OBSERVATIONS = flags.DEFINE_integer("observations", 17, "D, observation size.")
_ACTIONS = flags.DEFINE_integer("actions", 6, "A, action size.")
_WIDTH = flags.DEFINE_integer("width", 256, "Width of the student's three hidden layers.")
_INNER_STEPS = flags.DEFINE_integer("inner_steps", 100, "T, training steps of a student.")
_MOMENTUM = flags.DEFINE_float("momentum", 0.0, "Momentum of the students' SGD.")
_BATCH = flags.DEFINE_integer("batch_size", 2560, "B, real states per outer step.")
_REMAT = flags.DEFINE_boolean("remat", True, "Recompute inner steps in the reverse pass.")
_REPEATS = flags.DEFINE_integer("repeats", 7, "Timed runs; the median is reported.")


def seconds(function, repeats: int) -> float:
    """Median seconds of a call, after one that is not counted."""
    jax.block_until_ready(function())
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(function())
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def matmul_rate(repeats: int, size: int = 256, length: int = 500) -> float:
    """FLOP/s of square float32 products chained in a scan."""

    def chain(left, right):
        return jax.lax.scan(lambda x, _: (x @ right, None), left, length=length)[0]

    left = jax.random.normal(jax.random.key(0), (size, size))
    right = jnp.linalg.qr(left)[0]  # Orthogonal: products neither grow nor vanish.
    compiled = jax.jit(chain)
    return 2 * size**3 * length / seconds(lambda: compiled(left, right), repeats)


def measure() -> dict[str, float | None]:
    """Time one outer step."""
    n, d, a, width = _PAIRS.value, _OBSERVATIONS.value, _ACTIONS.value, _WIDTH.value
    student = students.mlp(
        a,
        hidden_sizes=(width,) * 3,
        steps=_INNER_STEPS.value,
        optimizer=optax.sgd(0.1, momentum=_MOMENTUM.value or None),
        remat=_REMAT.value,
    )
    distiller = distill.distiller(student, optax.adam(0.02), constraint=distill.clipped())
    keys = jax.random.split(jax.random.key(0), 5)
    synthetic = SyntheticData(
        jax.random.normal(keys[0], (n, d)), jax.random.uniform(keys[1], (n, a), minval=-1.0)
    )
    batch = Targets(
        jax.random.normal(keys[2], (_BATCH.value, d)),
        jax.random.uniform(keys[3], (_BATCH.value, a), minval=-1.0),
        jnp.ones(_BATCH.value),
    )
    state = distiller.init(keys[4], synthetic)
    start = time.perf_counter()
    compiled = jax.jit(distiller.update).lower(state, batch, 1.0).compile()
    compile_seconds = time.perf_counter() - start

    before = matmul_rate(_REPEATS.value)
    step_seconds = seconds(lambda: compiled(state, batch, 1.0), _REPEATS.value)
    after = matmul_rate(_REPEATS.value)

    weights = d * width + 2 * width * width + width * a
    flops = 10.0 * _INNER_STEPS.value * 2 * n * weights
    matmul = (before + after) / 2
    return {
        "seconds": step_seconds,
        "flops": flops,
        "flops_per_second": flops / step_seconds,
        "matmul_flops_per_second": matmul,
        "relative_rate": flops / step_seconds / matmul,
        "temp_bytes": getattr(compiled.memory_analysis(), "temp_size_in_bytes", None),
        "compile_seconds": compile_seconds,
    }


def main(_) -> None:
    """Entry point."""
    result = measure()
    if _JSON.value:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:<26}{value:>14.5g}")


if __name__ == "__main__":
    app.run(main)
