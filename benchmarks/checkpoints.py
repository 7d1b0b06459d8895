"""What a checkpoint costs: the time that a loop waits for it, and the time until it is on the disk.

    python benchmarks/checkpoints.py --folder=runs

The share is of the whole time until it is written, as if none of it went on beside the loop, in the
interval between two.
"""

import json
import pathlib
import tempfile
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import app, flags, logging

from obd_jax import distill, students, teachers
from obd_jax.reporting import note
from obd_jax.runs import Checkpoints
from obd_jax.types import SyntheticData

_JSON = flags.DEFINE_boolean("json", False, "Print one line of JSON instead of a table.")
_FOLDER = flags.DEFINE_string("folder", None, "On the disk to be measured; absent: temporary.")
_PAIRS = flags.DEFINE_integer("pairs", 256, "N, synthetic pairs.")
_OBSERVATIONS = flags.DEFINE_integer("observations", 17, "D, observation size.")
_ACTIONS = flags.DEFINE_integer("actions", 6, "A, action size.")
_STATES = flags.DEFINE_integer("states", 2_000_000, "M, states with a density weight.")
_MINUTES = flags.DEFINE_float("minutes", 1.0, "Between two checkpoints.")
_REPEATS = flags.DEFINE_integer("repeats", 20, "Checkpoints; the medians are reported.")


def states() -> dict[str, Any]:
    """Of a run with its default optimiser, its density weights, and of a teacher."""
    n, d, a = _PAIRS.value, _OBSERVATIONS.value, _ACTIONS.value
    distiller = distill.distiller(
        students.kernel(students.ntk(), students.KernelSettings()), optax.adam(0.01)
    )
    pairs = SyntheticData(jnp.ones((n, d)), jnp.zeros((n, a)))
    teacher = teachers.make_algorithm("rebrac", d, a, {})
    return {
        f"{n} pairs": distiller.init(jax.random.key(0), pairs),
        f"{_STATES.value} weights": jax.random.exponential(jax.random.key(0), (_STATES.value,)),
        "ReBRAC": teacher.init(jax.random.key(0)),
    }


def cost(state: Any, folder: pathlib.Path) -> dict[str, float]:
    """Seconds of a checkpoint."""
    waited, written = [], []
    with Checkpoints(folder, note) as checkpoints:
        for step in range(_REPEATS.value + 1):
            start = time.perf_counter()
            checkpoints.save(step, state, {"seconds": start})
            waited.append(time.perf_counter() - start)
            checkpoints.wait()
            written.append(time.perf_counter() - start)
    # The first, which is slower, is not counted.
    found = {"waited": float(np.median(waited[1:])), "written": float(np.median(written[1:]))}
    kilobytes = sum(file.stat().st_size for file in folder.rglob("*")) / 1000 / 3
    return {**found, "share": found["written"] / (60 * _MINUTES.value), "kilobytes": kilobytes}


def main(_) -> None:
    """Entry point."""
    logging.set_verbosity(logging.WARNING)
    with tempfile.TemporaryDirectory(dir=_FOLDER.value) as folder:
        costs = {
            name: cost(state, pathlib.Path(folder) / str(number))
            for number, (name, state) in enumerate(states().items())
        }
    if _JSON.value:
        print(json.dumps(costs))
        return
    print(f"{'state':<18}{'kB':>8}{'waited, ms':>12}{'written, ms':>13}{'share of interval':>19}")
    for name, found in costs.items():
        print(
            f"{name:<18}{found['kilobytes']:>8.0f}{1000 * found['waited']:>12.1f}"
            f"{1000 * found['written']:>13.1f}{found['share']:>19.3%}"
        )


if __name__ == "__main__":
    app.run(main)
