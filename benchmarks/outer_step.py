"""Cost of one outer step at the papers' size, beside the machine's own matrix rate.

    python benchmarks/outer_step.py
    python benchmarks/outer_step.py --meta_gradient=reverse --meta_gradient=mixed --inner_steps=400

    python benchmarks/outer_step.py --released=OBD --torch_python=TORCH_VENV/bin/python

Flags given several times are crossed. As in training, several steps are one call, so that they
share memory. The last command runs a copy of the released PyTorch code
in turn with ours; neither it nor PyTorch is part of this project.

Useful work and the machine's matrix rate, measured in the same process before and after, are those
of `rates.py`.
"""

import itertools
import json
import pathlib
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import app, flags
from paired import ratio, run_in_turn
from rates import matmul_rate, median_seconds, useful_flops

from obd_jax import distill, students
from obd_jax.numerics import PRECISIONS
from obd_jax.types import SyntheticData, Targets

# (window, remat) -> how the meta-gradient goes through training.
TRAINERS = {
    "reverse": lambda window, remat: students.reverse(remat),
    "mixed": lambda window, remat: students.mixed(),
    "truncated": lambda window, remat: students.truncated(window, remat=remat),
    "random_truncated": lambda window, remat: students.truncated(window, True, remat),
}

_JSON = flags.DEFINE_boolean("json", False, "One line of JSON for each case.")
_SECONDS = flags.DEFINE_boolean("seconds", False, "The first case's seconds and nothing else.")
_PAIRS = flags.DEFINE_multi_integer("pairs", [256], "N, synthetic pairs.")
_OBSERVATIONS = flags.DEFINE_integer("observations", 17, "D, observation size.")
_ACTIONS = flags.DEFINE_integer("actions", 6, "A, action size.")
_WIDTH = flags.DEFINE_multi_integer("width", [256], "Width of the student's three hidden layers.")
_INNER_STEPS = flags.DEFINE_multi_integer("inner_steps", [100], "T, training steps of a student.")
_MOMENTUM = flags.DEFINE_float("momentum", 0.0, "Momentum of the students' SGD.")
_BATCH = flags.DEFINE_multi_integer("batch_size", [2560], "B, real states per outer step.")
_META = flags.DEFINE_multi_enum(
    "meta_gradient", ["reverse"], list(TRAINERS), "How it goes through training."
)
_PRECISION = flags.DEFINE_multi_enum(
    "precision", ["highest"], PRECISIONS, "Of matrix products, on GPUs and TPUs."
)
_WINDOW = flags.DEFINE_integer("window", 20, "Steps of truncated meta-gradients.")
_REMAT = flags.DEFINE_boolean("remat", False, "Recompute inner steps in the reverse pass.")
_RELEASED = flags.DEFINE_string("released", None, "Folder of the released PyTorch code.")
_TORCH_PYTHON = flags.DEFINE_string("torch_python", None, "Python that has PyTorch.")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Rounds beside the released code.")
_REPEATS = flags.DEFINE_integer("repeats", 7, "Timed calls; the median is reported.")
_STEPS = flags.DEFINE_integer("steps", 10, "Outer steps in a call, by default as in training.")


def measure(
    meta_gradient: str, n: int, inner_steps: int, width: int, batch_size: int, precision: str
) -> dict[str, Any]:
    """Time one outer step, and the machine's products of the same precision."""
    with jax.default_matmul_precision(precision):
        found = _measure(meta_gradient, n, inner_steps, width, batch_size)
    return {"precision": precision, **found}


def _measure(
    meta_gradient: str, n: int, inner_steps: int, width: int, batch_size: int
) -> dict[str, Any]:
    d, a = _OBSERVATIONS.value, _ACTIONS.value
    student = students.mlp(
        a,
        hidden_sizes=(width,) * 3,
        steps=inner_steps,
        optimizer=optax.sgd(0.1, momentum=_MOMENTUM.value or None),
        trainer=TRAINERS[meta_gradient](min(_WINDOW.value, inner_steps), _REMAT.value),
    )
    distiller = distill.distiller(student, optax.adam(0.02), constraint=distill.clipped())
    keys = jax.random.split(jax.random.key(0), 5)
    synthetic = SyntheticData(
        jax.random.normal(keys[0], (n, d)), jax.random.uniform(keys[1], (n, a), minval=-1.0)
    )
    batch = Targets(
        jax.random.normal(keys[2], (batch_size, d)),
        jax.random.uniform(keys[3], (batch_size, a), minval=-1.0),
        jnp.ones(batch_size),
    )
    state = distiller.init(keys[4], synthetic)

    def block(state, batch):
        def step(state, _):
            return distiller.update(state, batch)[0], None

        return jax.lax.scan(step, state, length=_STEPS.value)[0]

    start = time.perf_counter()
    compiled = jax.jit(block).lower(state, batch).compile()
    compile_seconds = time.perf_counter() - start

    before = matmul_rate(_REPEATS.value)
    block_seconds = median_seconds(lambda: compiled(state, batch), _REPEATS.value)
    step_seconds = block_seconds / _STEPS.value
    after = matmul_rate(_REPEATS.value)

    flops = useful_flops(inner_steps, n, (d, width, width, width, a))
    matmul = (before + after) / 2
    return {
        "meta_gradient": meta_gradient,
        "pairs": n,
        "inner_steps": inner_steps,
        "width": width,
        "batch_size": batch_size,
        "seconds": step_seconds,
        "flops": flops,
        "flops_per_second": flops / step_seconds,
        "matmul_flops_per_second": matmul,
        "relative_rate": flops / step_seconds / matmul,
        "temp_bytes": getattr(compiled.memory_analysis(), "temp_size_in_bytes", None),
        "compile_seconds": compile_seconds,
    }


def growth(axis: str, results: list[dict[str, Any]]) -> str:
    """How seconds grow along an axis: a line, and a power, each by least squares."""
    x, y = (np.array([result[key] for result in results]) for key in (axis, "seconds"))
    # Relative errors count, so that the smallest case is fitted as well as the largest.
    slope, base = np.polyfit(x, y, 1, w=1 / y)
    worst = np.max(np.abs((base + slope * x) / y - 1))
    power = np.polyfit(np.log(x), np.log(y), 1)[0]
    line = f"{base:.3g} + {slope:.3g} x {axis}, within {worst:.0%}"
    return f"seconds: {line}; as a power, {axis}^{power:.2f}"


def beside_released(folder: str) -> None:
    """Both at the papers' size, in turn."""
    if _TORCH_PYTHON.value is None:
        raise app.UsageError("--released needs --torch_python")
    here = pathlib.Path(__file__).parent
    repeats = f"--repeats={_REPEATS.value}"
    theirs = [_TORCH_PYTHON.value, str(here / "released_outer_step.py"), folder, repeats]
    found = run_in_turn(
        {
            "obd_jax": [sys.executable, __file__, "--seconds", repeats],
            "released": theirs,
        },
        _ROUNDS.value,
    )
    for name, times in found.items():
        print(f"{name}: {np.median(times):.3f} s ({min(times):.3f} to {max(times):.3f})")
    quotient = ratio(found["released"], found["obd_jax"])
    print(f"ratio {quotient['median']:.2f} ({quotient['least']:.2f} to {quotient['largest']:.2f})")


def main(_) -> None:
    """Entry point."""
    if _RELEASED.value is not None:
        beside_released(_RELEASED.value)
        return
    axes: dict[str, list[Any]] = {
        "meta_gradient": _META.value,
        "pairs": _PAIRS.value,
        "inner_steps": _INNER_STEPS.value,
        "width": _WIDTH.value,
        "batch_size": _BATCH.value,
        "precision": _PRECISION.value,
    }
    if _SECONDS.value:
        print(measure(*(values[0] for values in axes.values()))["seconds"])
        return
    results = []
    for number, case in enumerate(itertools.product(*axes.values())):
        result = measure(*case)
        results.append(result)
        if _JSON.value:
            print(json.dumps(result), flush=True)
            continue
        if number == 0:
            print(f"| {' | '.join(result)} |\n|{'---|' * len(result)}")
        cells = [f"{x:.3g}" if isinstance(x, float) else f"{x}" for x in result.values()]
        print(f"| {' | '.join(cells)} |", flush=True)
    varied = [name for name, values in axes.items() if len(values) > 1]
    if _JSON.value or len(varied) != 1 or len(results) < 3:
        return
    if isinstance(axes[varied[0]][0], int):  # Not a name.
        print(growth(varied[0], results))


if __name__ == "__main__":
    app.run(main)
