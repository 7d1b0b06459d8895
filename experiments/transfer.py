"""Which students a set serves: sets of --config=transfer, scored with many kinds of students.

    python experiments/transfer.py --out=runs/transfer --seeds=0,1,2

A set or a score whose file is there is read, not made again. Flags after `--` go to `run_sdw.py`
and change how sets are made.
"""

import json
import pathlib
from typing import Any

import evaluate_synthetic
import numpy as np
from absl import flags
from shared_sets import result

from obd_jax import data
from obd_jax.command_line import run_main
from obd_jax.types import InvalidInputError

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

_DATA = flags.DEFINE_string("data", "../shared/data", "Folder of rollouts and checkpoints.")
_OUT = flags.DEFINE_string("out", "runs/transfer", "Folder of the run folders and scores.")
_SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds.")
_SETS = flags.DEFINE_list("sets", ["walker2d-medium-expert"], "Data sets.")
_EPISODES = flags.DEFINE_integer("episodes", 20, "E, episodes of each student.")
_KINDS = flags.DEFINE_integer("kinds", len(STUDENTS), "Rows of the table, from the first.")


def scored(folder: pathlib.Path, kind: str) -> dict[str, Any]:
    """Results of students of a kind on a set, scored now unless they are.

    Raises:
        InvalidInputError: the scores there are of another set.
    """
    slug = "".join(c if c.isalnum() else "-" for c in kind)
    out = folder.with_name(f"{folder.name} {slug} x{_EPISODES.value}.json")
    if not out.exists():
        given = {"path": str(folder / "distilled.npz"), "out": str(out), **STUDENTS[kind]}
        evaluate_synthetic.run(evaluate_synthetic.Config(episodes=_EPISODES.value, **given))
    results = json.loads(out.read_text())
    if results["provenance"]["set"]["sha256"] != data.sha256(folder / "distilled.npz"):
        raise InvalidInputError(f"{out} has scores of another set; give another --out")
    return results


def main(arguments: list[str]) -> None:
    """Entry point."""
    for name in _SETS.value:
        folders = [pathlib.Path(_OUT.value) / f"{name}-{seed}" for seed in _SEEDS.value]
        results = [
            result(name, _DATA.value, seed, folder, [*OPTIONS, *arguments])
            for seed, folder in zip(_SEEDS.value, folders, strict=True)
        ]
        minutes = max(each["seconds"]["distil"] for each in results) / 60
        lines = [
            f"\n{name}: sets of seeds {', '.join(_SEEDS.value)}, at most {minutes:.1f} minutes",
            f"{'students':<34}{'return':>8}  {'per seed':<20}{'worst student':>14}",
        ]
        for kind in list(STUDENTS)[: _KINDS.value]:
            rows = [scored(folder, kind)["returns"]["synthetic"] for folder in folders]
            means = [row["mean"] for row in rows]
            worst = min(min(row["per_student"]) for row in rows)
            per_seed = " ".join(f"{mean:.1f}" for mean in means)
            lines.append(f"{kind:<34}{np.mean(means):>8.1f}  {per_seed:<20}{worst:>14.1f}")
        print("\n".join(lines), flush=True)


if __name__ == "__main__":
    run_main(main, passes_on=True)
