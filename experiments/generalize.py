"""How sets of run_table.py serve students that they were not made for.

    python experiments/generalize.py --sets=runs/table/walker2d-medium-expert/sdw_av_pbc-mlp-0

A score that is in --scores already is read, not made again.
"""

import dataclasses
import json
import pathlib
from typing import Any

import evaluate_synthetic
import numpy as np

from obd_jax import data, evaluation
from obd_jax.command_line import config_from_flags, define_flags, field, note, run_main
from obd_jax.types import InvalidInputError

# The papers' recipe: three hidden layers of 256, 100 steps of SGD at 0.1 on tanh actions.
RECIPE: dict[str, Any] = {
    "student": "mlp",
    "hidden_sizes": (256, 256, 256),
    "inner_steps": 100,
    "inner_optimizer": "sgd",
    "inner_learning_rate": 0.1,
    "inner_momentum": 0.0,
    "cloning": "action",
    "centred": False,
    "residual": False,
}
STUDENTS: dict[str, dict[str, Any]] = {
    "the papers' recipe": RECIPE,
    "ensembles of ten of those": {**RECIPE, "ensemble": 10, "students": 3},
    "1 hidden layer": {**RECIPE, "hidden_sizes": (256,)},
    "2 hidden layers": {**RECIPE, "hidden_sizes": (256,) * 2},
    "4 hidden layers": {**RECIPE, "hidden_sizes": (256,) * 4},
    "5 hidden layers": {**RECIPE, "hidden_sizes": (256,) * 5},
    "6 hidden layers": {**RECIPE, "hidden_sizes": (256,) * 6},
    "residual": {**RECIPE, "residual": True},
    "width 64": {**RECIPE, "hidden_sizes": (64,) * 3},
    "width 1024": {**RECIPE, "hidden_sizes": (1024,) * 3, "students": 5},
    "momentum 0.9, rate 0.01": {**RECIPE, "inner_learning_rate": 0.01, "inner_momentum": 0.9},
    "Adam 0.001": {
        **RECIPE,
        "inner_optimizer": "adam",
        "inner_learning_rate": 1e-3,
        "inner_momentum": 0.9,
    },
    "AdamW 0.001": {
        **RECIPE,
        "inner_optimizer": "adamw",
        "inner_learning_rate": 1e-3,
        "inner_momentum": 0.9,
    },
    "1,000 steps": {**RECIPE, "inner_steps": 1000},
    "centred": {**RECIPE, "centred": True},
    "kernel": {"student": "kernel", "students": 1},
}
EPISODES = 10


@dataclasses.dataclass(frozen=True)
class Config:
    """What is scored; each field is a flag of the same name."""

    sets: str | None = field(None, "Folders of distilled sets, separated by commas. Required.")
    scores: str = field("docs/results/generalization.jsonl", "File of the scores so far.")
    students: str = field(";".join(STUDENTS), "Kinds, separated by semicolons.")


def scored(folder: pathlib.Path, kind: str, path: pathlib.Path) -> dict[str, Any]:
    """The record of a kind of students on a set, from the file or made now.

    Raises:
        InvalidInputError: the file has scores of another set of this name.
    """
    name = f"{folder.parent.name}/{folder.name}"
    sha256 = data.sha256(folder / "distilled.npz")
    if path.exists():
        for line in path.read_text().splitlines():
            record = json.loads(line)
            if record["set"] != name or "provenance" not in record:
                continue
            if record["provenance"]["set"]["sha256"] != sha256:
                raise InvalidInputError(
                    f"{path} has scores of another set {name}; give another --scores"
                )
            if record["students"] == kind:
                return record
    note(f"{name}: {kind}")
    options = {"episodes": EPISODES, **STUDENTS[kind]}
    try:
        results = evaluate_synthetic.run(
            evaluate_synthetic.Config(path=str(folder / "distilled.npz"), **options)
        )
        found = {"per_student": results["returns"]["synthetic"]["per_student"]}
        found["provenance"] = results["provenance"]
        found["student"] = results["student"]
    except evaluation.NotFiniteError as error:  # A student whose training diverges is a finding.
        found = {
            "per_student": [],
            "error": str(error),
            "provenance": {"set": {"name": str(folder / "distilled.npz"), "sha256": sha256}},
        }
    record = {"set": name, "students": kind, **found}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(record) + "\n")
    return record


def run(config: Config) -> str:
    """Score what is missing and print the table."""
    if not config.sets:
        raise InvalidInputError("--sets is required: folders of distilled sets")
    folders = [pathlib.Path(name) for name in config.sets.split(",")]
    for folder in folders:
        if not (folder / "distilled.npz").exists():
            raise InvalidInputError(f"{folder} holds no distilled.npz")
    kinds = config.students.split(";")
    for kind in kinds:
        if kind not in STUDENTS:
            raise InvalidInputError(f"unknown students {kind!r}; known: {'; '.join(STUDENTS)}")
    names = [f"{folder.parent.name} {folder.name}" for folder in folders]
    lines = [f"| students | {' | '.join(names)} |", "|" + "---|" * (len(names) + 1)]
    for kind in kinds:
        cells = []
        for folder in folders:
            returns = scored(folder, kind, pathlib.Path(config.scores))["per_student"]
            cells.append(
                f"{np.mean(returns):.1f} ({min(returns):.0f} to {max(returns):.0f})"
                if returns
                else "diverges"
            )
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    table = "\n".join(lines)
    print(table)
    return table


def main() -> None:
    """Entry point."""
    run(config_from_flags(Config, {}))


if __name__ == "__main__":
    define_flags(Config)
    run_main(main)
