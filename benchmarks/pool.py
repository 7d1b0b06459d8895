"""Cost of an outer step for a pool of networks: milliseconds and memory, by what is in the pool.

    python benchmarks/pool.py
    python benchmarks/pool.py --depths=2 --depths=2,4 --unroll=0 --unroll=5

Flags given several times are crossed. The kernel student is in every loss, as in training; "kernel
alone" is a step without networks. Memory is what the compiled program asks for beside its
arguments.
"""

import itertools
import json

import jax
import jax.numpy as jnp
import optax
from absl import app, flags
from rates import median_seconds

from obd_jax import distill
from obd_jax.distill import PoolMember
from obd_jax.students import KernelRecipe
from obd_jax.types import SyntheticData, Targets

_JSON = flags.DEFINE_boolean("json", False, "Print one line of JSON for each case.")
_DEPTHS = flags.DEFINE_multi_string("depths", ["2,4"], "Hidden layers of the kinds of networks.")
_WIDTH = flags.DEFINE_multi_integer("width", [256], "Width of their layers.")
_COUNT = flags.DEFINE_multi_integer("count", [8], "Networks of a kind.")
_TRAINED = flags.DEFINE_multi_integer("steps", [3], "Training steps after an outer step.")
_UNROLL = flags.DEFINE_multi_integer("unroll", [0, 5], "Steps that the gradient goes through.")
_SIZE = flags.DEFINE_integer("size", 256, "N, synthetic pairs.")
_BATCH = flags.DEFINE_integer("batch_size", 1024, "B, states per step.")


def measure(members: list[PoolMember]) -> dict[str, float]:
    """Milliseconds of an outer step, and megabytes of state and of working memory."""
    keys = jax.random.split(jax.random.key(0), 4)
    actions = jax.random.uniform(keys[0], (_SIZE.value, 6), minval=-0.9, maxval=0.9)
    synthetic = SyntheticData(jax.random.normal(keys[1], (_SIZE.value, 17)), actions)
    size = _BATCH.value
    batch = Targets(
        jax.random.normal(keys[2], (size, 17)),
        jax.random.uniform(keys[3], (size, 6), minval=-0.9, maxval=0.9),
        jnp.ones(size),
    )
    kernel = KernelRecipe().student(synthetic.actions.shape[1])
    optimizer, constraint = optax.adam(0.01), distill.squashed()
    if members:
        distiller = distill.pool_distiller(
            members, optimizer, students=[(1.0, kernel)], aggregate=jnp.sum, constraint=constraint
        )
    else:
        distiller = distill.distiller(kernel, optimizer, constraint=constraint)
    state = distiller.init(jax.random.key(0), synthetic)
    compiled = jax.jit(distiller.update).lower(state, batch, 1.0).compile()
    memory = compiled.memory_analysis()
    assert memory is not None
    leaves = jax.tree.leaves(state)
    return {
        "milliseconds": 1e3 * median_seconds(lambda: compiled(state, batch, 1.0), 15),
        "state_megabytes": sum(leaf.nbytes for leaf in leaves) / 1e6,
        "working_megabytes": memory.temp_size_in_bytes / 1e6,
    }


def main(_: list[str]) -> None:
    """Print a line for each case."""
    print(f"{'pool':<58}{'ms/step':>9}{'state MB':>10}{'working MB':>12}")
    cases: list[tuple[str, list[PoolMember]]] = [("kernel alone", [])]
    for depths, width, count, steps, unroll in itertools.product(
        _DEPTHS.value, _WIDTH.value, _COUNT.value, _TRAINED.value, _UNROLL.value
    ):
        members = [
            PoolMember(
                int(depth),
                width,
                count=count,
                steps_per_update=steps,
                unroll=unroll,
                output_weight=float(unroll > 0),
            )
            for depth in depths.split(",")
        ]
        name = f"depths {depths}, width {width}, {count} each, {steps} steps, unroll {unroll}"
        cases.append((name, members))
    for name, members in cases:
        found = measure(members)
        if _JSON.value:
            print(json.dumps({"pool": name, **found}))
        else:
            print(
                f"{name:<58}{found['milliseconds']:>9.1f}{found['state_megabytes']:>10.1f}"
                f"{found['working_megabytes']:>12.1f}"
            )


if __name__ == "__main__":
    app.run(main)
