"""Score the behaviour policies that come with the package, acting at random as in their data.

python experiments/recording/score_behavior.py --steps=24000
"""

import dataclasses

import numpy as np

from obd_jax import environments, recorded
from obd_jax.cli import define_flags, run_main, settings_from_flags
from obd_jax.recorded.rollouts import LANES
from obd_jax.reporting import Progress
from obd_jax.settings import OptionError, option


@dataclasses.dataclass(frozen=True)
class Config:
    """What is scored; each field is a flag of the same name."""

    env: str | None = option(None, "Environment; absent: all that have policies.")
    steps: int = option(24_000, "Steps of each policy.")
    seed: int = option(1, "Seed of the rollouts.")


def scores(rows: dict[str, np.ndarray], environment: environments.EnvironmentSpec) -> np.ndarray:
    """Normalised returns of the episodes that ended, or lasted as long as they may."""
    ends = np.flatnonzero(rows["terminals"] | rows["timeouts"])
    starts = np.concatenate([[0], ends[:-1] + 1])
    returns = np.add.reduceat(rows["rewards"].astype(np.float64), starts)
    whole = rows["terminals"][ends] | (ends - starts + 1 == environments.MAX_EPISODE_STEPS)
    return environments.normalized_score(environment, returns[whole])


def run(config: Config) -> None:
    """Print a line for each policy."""
    least = LANES * environments.MAX_EPISODE_STEPS
    if config.steps < least:
        raise OptionError(
            f"{{steps}} must be at least {least}, so that an episode can end, got {config.steps}"
        )
    print(
        f"{'environment':<13}{'after steps':>12}  {'role':<8}{'episodes':>9}{'mean':>8}{'std':>7}"
    )
    for name in [config.env] if config.env else recorded.ROLES:
        environment = environments.get(name)
        role_of = {steps: role for role, steps in recorded.ROLES.get(name, {}).items()}
        for steps in recorded.snapshots(name):
            policy = recorded.snapshot(name, steps)
            progress = Progress(f"{name} after {steps}, steps")
            rows = recorded.roll_out(
                policy.sample, environment, config.steps, config.seed, progress
            )
            found = scores(rows, environment)
            print(
                f"{name:<13}{steps:>12,}  {role_of.get(steps, ''):<8}{len(found):>9}"
                f"{found.mean():>8.1f}{found.std():>7.1f}",
                flush=True,
            )


def main() -> None:
    """Entry point."""
    run(settings_from_flags(Config))


if __name__ == "__main__":
    define_flags(Config)
    run_main(main)
