"""Updates per second of a teacher's training, beside CORL's TD3+BC in PyTorch.

    python benchmarks/teacher_step.py --algorithm=td3_bc \
        --corl=CORL/algorithms/offline/td3_bc.py --torch_python=TORCH_VENV/bin/python

PyTorch and CORL are no part of this project: the one is taken from another environment, the
other from a copy. Both sides have 17 observations, 6 actions and batches of 256, and run in turn.
"""

import dataclasses
import pathlib
import sys

import jax
import numpy as np
from paired import ratio, run_in_turn

from obd_jax import data, teachers
from obd_jax.cli import define_flags, run_main, settings_from_flags
from obd_jax.settings import option
from obd_jax.types import InvalidInputError

ROWS, BLOCK = 100_000, 1000


@dataclasses.dataclass(frozen=True)
class Config:
    """What is timed; each field is a flag of the same name."""

    algorithm: str = option("td3_bc", f"One of {', '.join(teachers.ALGORITHMS)}.")
    batch_size: int = option(256, "Transitions in a batch of ours.")
    updates: int = option(5000, "Updates of a round; the first fifth is not counted.")
    rounds: int = option(5, "Rounds beside CORL.")
    corl: str | None = option(None, "CORL's td3_bc.py; absent: ours alone, one round.")
    torch_python: str | None = option(None, "Python that has PyTorch.")


def measure(config: Config) -> float:
    """Updates per second of ours."""
    rng = np.random.default_rng(0)
    recorded = data.from_arrays(
        rng.normal(size=(ROWS, 17)),
        rng.uniform(-1, 1, (ROWS, 6)),
        rng.normal(size=ROWS),
        terminals=np.zeros(ROWS),
        timeouts=np.arange(ROWS) % 1000 == 999,
    )
    options = {"batch_size": str(config.batch_size)}
    algorithm = teachers.make_algorithm(config.algorithm, 17, 6, options)
    seconds: list[float] = []
    teachers.train(
        jax.random.key(0),
        algorithm,
        teachers.prepare(algorithm, recorded),
        steps=config.updates,
        block=max(1, config.updates // 5),
        callback=lambda _, record: seconds.append(record["seconds"]),
    )
    return 4 * max(1, config.updates // 5) / (seconds[-1] - seconds[0])


def run(config: Config) -> None:
    """Print what was measured; with CORL's file, of both in turn."""
    if config.updates % 5 or config.updates <= 0:
        raise InvalidInputError(f"--updates must be a multiple of 5, got {config.updates}")
    if config.corl is None:
        print(measure(config))
        return
    if config.torch_python is None:
        raise InvalidInputError("--corl needs --torch_python")
    if (config.algorithm, config.batch_size) != ("td3_bc", 256):
        raise InvalidInputError("--corl is compared with td3_bc and batches of 256")
    here = pathlib.Path(__file__).parent
    updates = f"--updates={config.updates}"
    found = run_in_turn(
        {
            "obd_jax": [sys.executable, str(here / "teacher_step.py"), updates],
            "CORL": [config.torch_python, str(here / "corl_td3_bc.py"), config.corl, updates],
        },
        config.rounds,
    )
    for name, rates in found.items():
        print(f"{name}: {np.median(rates):.0f} updates/s ({min(rates):.0f} to {max(rates):.0f})")
    quotient = ratio(found["obd_jax"], found["CORL"])
    print(f"ratio {quotient['median']:.2f} ({quotient['least']:.2f} to {quotient['largest']:.2f})")


def main() -> None:
    """Entry point."""
    run(settings_from_flags(Config))


if __name__ == "__main__":
    define_flags(Config)
    run_main(main)
