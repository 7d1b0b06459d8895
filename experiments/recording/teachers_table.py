"""Tables of trained teachers, from the folders that train_teacher.py wrote (docs/teachers.md).

python experiments/recording/teachers_table.py --runs=runs/teachers
"""

import dataclasses
import json
import pathlib
from typing import Any

from obd_jax.cli import define_flags, run_main, settings_from_flags
from obd_jax.settings import option
from obd_jax.types import InvalidInputError

COLUMNS = (
    "data set",
    "algorithm",
    "seed",
    "updates",
    "teacher [95% interval]",
    "data",
    "q* predicted",
    "earned",
    "rank correlation",
    "above random actions",
    "ESS of Av-PBC",
    "negative",
    "updates/s",
    "minutes",
)


@dataclasses.dataclass(frozen=True)
class Config:
    """What is tabulated; each field is a flag of the same name."""

    runs: str = option("runs/teachers", "Folder of the folders of trainings.")


def row(results: dict[str, Any]) -> str:
    """A training as a row in Markdown."""
    config, found = results["config"], results["q_calibration"]
    teacher, recorded = results["returns"]["teacher"], results["returns"]["data"]
    scored = "not scored"
    if teacher is not None:
        low, high = teacher["ci95"]
        scored = f"{teacher['mean']:.1f} [{low:.1f}, {high:.1f}]"
    cells = [
        config.get("dataset") or pathlib.Path(results["provenance"]["data"]["name"]).name,
        config["algorithm"],
        str(config["seed"]),
        f"{config['steps']:,}",
        scored,
        "" if recorded is None else f"{recorded['mean']:.1f}",
    ]
    if found is None:
        cells += [""] * 6
    else:
        rank, share = found["rank_correlation"], found["effective_sample_fraction"]
        cells += [
            f"{found['predicted']:.0f}",
            f"{found['earned']:.0f}",
            "" if rank is None else f"{rank:.2f}",
            f"{100 * found['above_random']:.0f}%",
            "" if share is None else f"{share:.2f}",
            f"{100 * found['negative']:.0f}%",
        ]
    cells += [f"{results['steps_per_second']:.0f}", f"{results['seconds'] / 60:.1f}"]
    return f"| {' | '.join(cells)} |"


def run(config: Config) -> str:
    """Print the table of all trainings that are complete."""
    paths = sorted(pathlib.Path(config.runs).glob("*/results.json"))
    if not paths:
        raise InvalidInputError(f"no results.json in the folders of {config.runs}")
    lines = [f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
    table = "\n".join([*lines, *sorted(row(json.loads(path.read_text())) for path in paths)])
    print(table)
    return table


def main() -> None:
    """Entry point."""
    run(settings_from_flags(Config))


if __name__ == "__main__":
    define_flags(Config)
    run_main(main)
