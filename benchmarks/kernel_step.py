"""Cost of an outer step with the kernel student, of its parts, and of acting.

    python benchmarks/kernel_step.py

Useful work of a step is counted as 2 B N (D + A) for the kernel's product and the prediction,
three times that with their gradients, N^3 / 3 for the factorisation, 4 N^2 A for the two solutions
and 40 operations per kernel entry and layer, value and derivative. Parts are timed alone, so they
need not add up: inside the step they share memory traffic.
"""

import functools
import json

import jax
import jax.numpy as jnp
import optax
from absl import app, flags
from rates import median_seconds

from obd_jax import distill, evaluation, students
from obd_jax.types import Normalizer, SyntheticData, Targets

_JSON = flags.DEFINE_boolean("json", False, "Print one line of JSON instead of tables.")
_PAIRS = flags.DEFINE_list("pairs", ["16", "64", "256", "1024"], "N, synthetic pairs.")
_BATCHES = flags.DEFINE_list("batch_sizes", ["256", "1024", "8192"], "B, states per step.")
_OBSERVATIONS = flags.DEFINE_integer("observations", 17, "D, observation size.")
_ACTIONS = flags.DEFINE_integer("actions", 6, "A, action size.")
_DEPTH = flags.DEFINE_integer("depth", 3, "Hidden layers of the network behind the kernel.")
_REPEATS = flags.DEFINE_integer("repeats", 15, "Timed runs; the median is reported.")


def seconds(function, *arguments) -> float:
    """Median seconds of a compiled call, after one that is not counted."""
    compiled = jax.jit(function)
    return median_seconds(lambda: compiled(*arguments), _REPEATS.value)


def problem(pairs: int, batch: int) -> tuple[SyntheticData, Targets]:
    """Standard normal states and uniform actions."""
    d, a = _OBSERVATIONS.value, _ACTIONS.value
    keys = jax.random.split(jax.random.key(0), 4)
    return (
        SyntheticData(
            jax.random.normal(keys[0], (pairs, d)),
            jax.random.uniform(keys[1], (pairs, a), minval=-0.9, maxval=0.9),
        ),
        Targets(
            jax.random.normal(keys[2], (batch, d)),
            jax.random.uniform(keys[3], (batch, a), minval=-0.9, maxval=0.9),
            jnp.ones(batch),
        ),
    )


def step_cost(pairs: int, batch_size: int) -> dict[str, float]:
    """Seconds of an outer step and of its parts."""
    d, a = _OBSERVATIONS.value, _ACTIONS.value
    synthetic, batch = problem(pairs, batch_size)
    kernel, settings = students.ntk(), students.KernelSettings(depth=_DEPTH.value)
    student = students.kernel(kernel, settings)
    distiller = distill.distiller(student, optax.adam(0.01), constraint=distill.squashed())
    state = distiller.init(jax.random.key(0), synthetic)
    cross = functools.partial(kernel.cross, settings)
    cotangent = jnp.ones((batch_size, pairs))

    def pull(x, y, cotangent):
        return jax.vjp(lambda y: cross(x, y), y)[1](cotangent)

    def products(x, y, cotangent, actions):
        """All thin products of the step, without the kernel."""
        inner = x @ y.T
        prediction = inner @ actions
        back = prediction @ actions.T
        return inner.T @ prediction, (cotangent + back).T @ x

    matrix = students.gram(kernel, settings, synthetic.observations)
    regular = matrix + jnp.eye(pairs) * jnp.trace(matrix) / pairs
    entries = batch_size * pairs + pairs * pairs
    step = seconds(distiller.update, state, batch)
    flops = (
        6.0 * batch_size * pairs * (d + a)
        + pairs**3 / 3
        + 4.0 * pairs**2 * a
        + 40.0 * _DEPTH.value * entries
    )
    return {
        "pairs": pairs,
        "batch_size": batch_size,
        "step_ms": 1e3 * step,
        "useful_gflops_per_second": flops / step / 1e9,
        "kernel_ms": 1e3 * seconds(cross, batch.observations, synthetic.observations),
        "kernel_and_gradient_ms": 1e3
        * seconds(pull, batch.observations, synthetic.observations, cotangent),
        "fit_ms": 1e3 * seconds(student.fit, jax.random.key(0), synthetic),
        "cholesky_ms": 1e3 * seconds(jnp.linalg.cholesky, regular),
        "products_ms": 1e3
        * seconds(
            products, batch.observations, synthetic.observations, cotangent, synthetic.actions
        ),
    }


def act_cost(pairs: int, episodes: int) -> dict[str, float]:
    """Microseconds for one action of ten students in `episodes` environments each."""
    synthetic, batch = problem(pairs, 10 * episodes)
    observations = batch.observations.reshape(10, episodes, -1)
    size = _OBSERVATIONS.value
    normalizer = Normalizer(jnp.zeros((10, size)), jnp.ones((10, size)))
    costs = {}
    for name, student in (
        ("kernel", students.kernel(students.ntk(), students.KernelSettings(depth=_DEPTH.value))),
        ("mlp", students.mlp(_ACTIONS.value, steps=1, optimizer=optax.sgd(0.1))),
    ):
        params = evaluation.fit_students(jax.random.key(0), student, synthetic, 10)
        policy = jax.vmap(evaluation.student_policy(student))
        costs[name] = 1e6 * seconds(policy, (params, normalizer), observations)
    return {
        "pairs": pairs,
        "episodes": episodes,
        "kernel_us": costs["kernel"],
        "mlp_3x256_us": costs["mlp"],
    }


def table(rows: list[dict[str, float]]) -> str:
    """Rows as a table."""
    names = list(rows[0])
    lines = [" ".join(f"{name:>{max(9, len(name))}}" for name in names)]
    lines += [" ".join(f"{row[name]:>{max(9, len(name))}.4g}" for name in names) for row in rows]
    return "\n".join(lines)


def main(_) -> None:
    """Entry point."""
    sizes = [int(size) for size in _PAIRS.value]
    steps = [step_cost(n, int(b)) for n in sizes for b in _BATCHES.value]
    acts = [act_cost(n, episodes) for n in sizes if n <= 256 for episodes in (1, 10)]
    if _JSON.value:
        print(json.dumps({"steps": steps, "acting": acts}))
        return
    print(f"one outer step, kernel of depth {_DEPTH.value}\n{table(steps)}")
    if acts:
        print(f"\none action of ten students in each of their environments\n{table(acts)}")


if __name__ == "__main__":
    app.run(main)
