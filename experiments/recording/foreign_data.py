"""Record data of mixed quality from the policies that the authors of OBD released.

    python experiments/recording/foreign_data.py --env=hopper --policies=POLICIES \
        --stats=d4rl_stats.json --out=runs/foreign/hopper.hdf5

Another library trained these policies, with another algorithm (CORL, Cal-QL). Each policy of the
environment acts with each deviation of noise for an equal share of the rows.
"""

import dataclasses
import itertools
import json
import pathlib
from collections.abc import Callable

import jax
import numpy as np
from score_behavior import scores

from obd_jax import environments
from obd_jax.cli import define_flags, run_main, settings_from_flags
from obd_jax.data.hdf5 import write_hdf5
from obd_jax.recorded.rollouts import LANES, Act, roll_out
from obd_jax.reporting import CONSOLE, Reporter
from obd_jax.settings import OptionError, option
from obd_jax.teachers import load_calql

KINDS = ("medium-replay", "medium", "medium-expert")


@dataclasses.dataclass(frozen=True)
class Config:
    """What is recorded; each field is a flag of the same name."""

    env: str = option("hopper", "Environment.")
    policies: str | None = option(None, "Folder of the released files, Cal-QL-ENV-KIND-v2.pt.")
    stats: str | None = option(None, "JSON file of the means and deviations of D4RL's states.")
    out: str | None = option(None, "HDF5 file to write, in D4RL's layout.")
    rows: int = option(100_000, "Rows of all policies together.")
    noises: tuple[float, ...] = option((0.1, 0.4), "Deviations of Gaussian noise on actions.")
    seed: int = option(1, "Seed of the rollouts.")


def run(config: Config, reporter: Reporter = CONSOLE) -> None:
    """Record the file and print a line on each part of it.

    Raises:
        InvalidInputError: a missing option, too few rows, or a policy that cannot be read.
    """
    for name in ("policies", "stats", "out"):
        if getattr(config, name) is None:
            raise OptionError(f"{{{name}}} is required")
    policies, out = pathlib.Path(str(config.policies)), pathlib.Path(str(config.out))
    environment = environments.get(config.env)
    parts = [*itertools.product(KINDS, config.noises)]
    if config.rows < LANES * len(parts):
        raise OptionError(f"{{rows}} must be at least {LANES * len(parts)}, got {config.rows}")
    acts = {
        kind: load_calql(
            policies / f"Cal-QL-{config.env}-{kind}-v2.pt",
            str(config.stats),
            f"{config.env}-{kind}-v2",
        ).act
        for kind in KINDS
    }
    recorded, about = [], []
    for number, (kind, noise) in enumerate(parts):
        rows = config.rows * (number + 1) // len(parts) - config.rows * number // len(parts)
        progress = reporter.progress(f"record {kind}, noise {noise}, rows")
        act = noisy(acts[kind], noise)
        recorded.append(roll_out(act, environment, rows, (config.seed, number), progress))
        found = scores(recorded[-1], environment)
        if len(found):
            reporter.note(
                f"{kind}, noise {noise}: {rows:,} rows, {len(found)} whole episodes, mean score "
                f"{found.mean():.1f}"
            )
        about.append({"policy": f"Cal-QL-{config.env}-{kind}-v2", "noise": noise, "rows": rows})
    fields = {name: np.concatenate([part[name] for part in recorded]) for name in recorded[0]}
    card = {
        "data": f"foreign {config.env}: by released Cal-QL policies, not D4RL's",
        "environment": environment.gymnasium_id,
        "seed": config.seed,
        "parts": about,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    write_hdf5(out, fields, {"card": json.dumps(card)})
    whole = scores(fields, environment)
    print(f"{config.rows:,} rows, mean score {whole.mean():.1f}, written to {out}")


def noisy(act: Callable, deviation: float) -> Act:
    """A policy with Gaussian noise on its actions, clipped to the bounds."""
    compiled = jax.jit(act)

    def sample(generator: np.random.Generator, observations: np.ndarray) -> np.ndarray:
        actions = np.asarray(compiled(observations))
        noise = deviation * generator.standard_normal(actions.shape)
        return np.clip(actions + noise, -1, 1).astype(np.float32)

    return sample


def main() -> None:
    """Entry point."""
    run(settings_from_flags(Config))


if __name__ == "__main__":
    define_flags(Config)
    run_main(main)
