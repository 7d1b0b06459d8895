r"""Distil and score once for every value of one option: a table on the shared rollout sets.

    python experiments/studies/sweep.py --vary=ridge=1e-4,1e-3,1e-2 --sets=hopper-medium \
        --temperature=0

All flags of `run_sdw.py` hold for every cell. A cell that is in --cells already is read, not
repeated, and one that was stopped resumes.
"""

import dataclasses
from typing import Any

import numpy as np
from base_settings import base_settings
from shared_cells import CellSettings, results_on

from obd_jax.cli import define_flags, run_main, settings_from_flags
from obd_jax.pipeline import RunSettings
from obd_jax.settings import OptionError, option, options_of


@dataclasses.dataclass(frozen=True)
class SweepSettings(CellSettings):
    """Which cells, and what they differ in."""

    vary: str = option("seed=0", "setting=value,value,...: one cell for each value.")

    def __post_init__(self) -> None:
        parse_vary(self.vary)


def parse_vary(text: str) -> tuple[str, list[Any]]:
    """Text option=a,b,c -> the option and its values, of the option's type."""
    name, _, values = text.partition("=")
    known = options_of(RunSettings)
    if not values or name not in known or known[name].kind not in (str, int, float):
        raise OptionError(f"{{vary}} takes setting=value,value,...; got {text!r}")
    kind = known[name].kind
    try:
        return name, [kind(value) for value in values.split(",")]
    except ValueError as error:
        raise OptionError(f"{{vary}}: {{{name}}} takes {kind.__name__}, got {values}") from error


def run(base: RunSettings, sweep: SweepSettings) -> None:
    """Run the cells that are missing and print the table."""
    name, values = parse_vary(sweep.vary)
    print(
        f"{'set':<24}{name:>14}{'return':>8}{'worst':>7}  {'per seed':<20}{'loss':>9}{'seconds':>9}"
    )
    for set_name in sweep.sets:
        for value in values:
            results = results_on(base, set_name, {name: value}, sweep)
            means = [result["mean"] for result in results]
            print(
                f"{set_name:<24}{value!s:>14}{np.mean(means):>8.1f}"
                f"{min(result['worst_episode'] for result in results):>7.0f}"
                f"  {' '.join(f'{mean:.1f}' for mean in means):<20}"
                f"{np.mean([result['loss'] for result in results]):>9.5f}"
                f"{max(result['seconds'] for result in results):>9.1f}",
                flush=True,
            )


def main() -> None:
    """Entry point."""
    sweep = settings_from_flags(SweepSettings)
    run(base_settings(), sweep)


if __name__ == "__main__":
    define_flags(RunSettings)
    define_flags(SweepSettings)
    run_main(main)
