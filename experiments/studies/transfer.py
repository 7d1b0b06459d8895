"""Which students a set serves: sets of --config=transfer, scored with many kinds of students.

    python experiments/studies/transfer.py --out=runs/transfer --seeds=0,1,2

A set or a score whose file is there is read, not made again. Flags after `--` go to `run_sdw.py`
and change how sets are made.
"""

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np
from rescoring import score_with
from shared_sets import refuse_own, result

from obd_jax.cli import define_flags, run_main, settings_from_flags
from obd_jax.data.cache import sha256
from obd_jax.settings import OptionError, at_least, option

OPTIONS = ["--config=transfer", "--curve_points=0"]
WIDE = (1024, 1024, 1024)
ADAM = {
    "inner_optimizer": "adam",
    "inner_learning_rate": 1e-3,
    "inner_momentum": 0.9,
    "inner_steps": 500,
}
STUDENTS: dict[str, dict[str, Any]] = {
    "3x256, the papers' recipe": {},
    "ensembles of ten of those": {"ensemble": 10, "students": 3},
    "3x1024, the papers' recipe": {"hidden_sizes": WIDE, "students": 5},
    "3x1024, centred": {"hidden_sizes": WIDE, "centred": True, "students": 5},
    "3x256, centred": {"centred": True},
    "ensembles of ten of those, centred": {"centred": True, "ensemble": 10, "students": 3},
    "2x256, the papers' recipe": {"hidden_sizes": (256, 256)},
    "4x256, the papers' recipe": {"hidden_sizes": (256,) * 4},
    "3x256, Adam 0.001, 500 steps": ADAM,
    "ensembles of ten of those, Adam": {**ADAM, "ensemble": 10, "students": 3},
    "3x1024, Adam 0.001, 500 steps": {**ADAM, "hidden_sizes": WIDE, "students": 5},
    "kernel": {"student": "kernel", "students": 1},
}


@dataclasses.dataclass(frozen=True)
class TransferSettings:
    """Which sets, where, and how they are scored."""

    data: str = option("../shared/data", "Folder of rollouts and checkpoints.")
    out: str = option("runs/transfer", "Folder of the run folders and scores.")
    seeds: tuple[int, ...] = option((0, 1, 2), "Seeds.")
    sets: tuple[str, ...] = option(("walker2d-medium-expert",), "Data sets.")
    episodes: int = option(20, "E, episodes of each student.")
    kinds: int = option(len(STUDENTS), "Rows of the table, from the first.")

    def __post_init__(self) -> None:
        at_least(1, episodes=self.episodes)


def scored(folder: pathlib.Path, kind: str, episodes: int) -> dict[str, Any]:
    """Results of students of a kind on a set, scored now unless they are.

    Raises:
        InvalidInputError: the scores there are of another set.
    """
    slug = "".join(c if c.isalnum() else "-" for c in kind)
    path, out = folder / "distilled.npz", folder.with_name(f"{folder.name} {slug} x{episodes}.json")
    if not out.exists():
        score_with(path, {"out": str(out), "episodes": episodes, **STUDENTS[kind]})
    results = json.loads(out.read_text())
    if results["provenance"]["set"]["sha256"] != sha256(path):
        raise OptionError(f"{out} has scores of another set; give another {{out}}")
    return results


def run(transfer: TransferSettings, arguments: list[str]) -> None:
    """Make the sets and scores that are missing and print the tables.

    Args:
        transfer: which sets.
        arguments: flags for each of their runs.
    """
    refuse_own(arguments)
    for name in transfer.sets:
        folders = [pathlib.Path(transfer.out) / f"{name}-{seed}" for seed in transfer.seeds]
        results = [
            result(name, transfer.data, seed, folder, [*OPTIONS, *arguments])
            for seed, folder in zip(transfer.seeds, folders, strict=True)
        ]
        minutes = max(each["seconds"]["distil"] for each in results) / 60
        seeds = ", ".join(map(str, transfer.seeds))
        lines = [
            f"\n{name}: sets of seeds {seeds}, at most {minutes:.1f} minutes",
            f"{'students':<34}{'return':>8}  {'per seed':<20}{'worst student':>14}",
        ]
        for kind in list(STUDENTS)[: transfer.kinds]:
            rows = [
                scored(folder, kind, transfer.episodes)["returns"]["synthetic"]
                for folder in folders
            ]
            means = [row["mean"] for row in rows]
            worst = min(min(row["per_student"]) for row in rows)
            per_seed = " ".join(f"{mean:.1f}" for mean in means)
            lines.append(f"{kind:<34}{np.mean(means):>8.1f}  {per_seed:<20}{worst:>14.1f}")
        print("\n".join(lines), flush=True)


def main(arguments: list[str]) -> None:
    """Entry point."""
    run(settings_from_flags(TransferSettings), arguments)


if __name__ == "__main__":
    define_flags(TransferSettings)
    run_main(main, passes_on=True)
