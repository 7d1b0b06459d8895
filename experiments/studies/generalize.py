r"""How sets of run_table.py serve students that they were not made for.

    python experiments/studies/generalize.py \
        --sets=runs/table/walker2d-medium-expert/sdw_av_pbc-mlp-0

A score that is in --scores already is read, not made again.
"""

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np
from other_students import STUDENTS
from rescoring import score_with

from obd_jax import evaluation
from obd_jax.cli import define_flags, run_main, settings_from_flags
from obd_jax.data.cache import sha256
from obd_jax.reporting import note
from obd_jax.settings import OptionError, option
from obd_jax.types import InvalidInputError

EPISODES = 10


@dataclasses.dataclass(frozen=True)
class GeneralizationSettings:
    """What is scored, and where scores are kept."""

    sets: tuple[str, ...] = option((), "Folders of distilled sets. Required.")
    scores: str = option("docs/results/generalization.jsonl", "File of the scores so far.")
    students: str = option(";".join(STUDENTS), "Kinds, separated by semicolons.")

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in STUDENTS:
                raise OptionError(f"unknown students {kind!r}; known: {'; '.join(STUDENTS)}")

    @property
    def kinds(self) -> list[str]:
        """The kinds of students, one by one."""
        return self.students.split(";")


def scored(folder: pathlib.Path, kind: str, path: pathlib.Path) -> dict[str, Any]:
    """The record of a kind of students on a set, from the file or made now.

    Raises:
        InvalidInputError: the file has scores of another set of this name.
    """
    name = f"{folder.parent.name}/{folder.name}"
    set_path = folder / "distilled.npz"
    digest = sha256(set_path)
    if path.exists():
        for line in path.read_text().splitlines():
            record = json.loads(line)
            if record["set"] != name or "provenance" not in record:
                continue
            if record["provenance"]["set"]["sha256"] != digest:
                raise OptionError(
                    f"{path} has scores of another set {name}; give another {{scores}}"
                )
            if record["students"] == kind:
                return record
    note(f"{name}: {kind}")
    try:
        results = score_with(set_path, {"episodes": EPISODES, **STUDENTS[kind]})
        found = {"per_student": results["returns"]["synthetic"]["per_student"]}
        found["provenance"] = results["provenance"]
        found["student"] = results["student"]
    except evaluation.NotFiniteError as error:  # A student whose training diverges is a finding.
        found = {
            "per_student": [],
            "error": str(error),
            "provenance": {"set": {"name": str(set_path), "sha256": digest}},
        }
    record = {"set": name, "students": kind, **found}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(record) + "\n")
    return record


def run(settings: GeneralizationSettings) -> str:
    """Score what is missing and print the table."""
    if not settings.sets:
        raise OptionError("{sets} is required: folders of distilled sets")
    folders = [pathlib.Path(name) for name in settings.sets]
    for folder in folders:
        if not (folder / "distilled.npz").exists():
            raise InvalidInputError(f"{folder} holds no distilled.npz")
    names = [f"{folder.parent.name} {folder.name}" for folder in folders]
    lines = [f"| students | {' | '.join(names)} |", "|" + "---|" * (len(names) + 1)]
    for kind in settings.kinds:
        cells = []
        for folder in folders:
            returns = scored(folder, kind, pathlib.Path(settings.scores))["per_student"]
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
    run(settings_from_flags(GeneralizationSettings))


if __name__ == "__main__":
    define_flags(GeneralizationSettings)
    run_main(main)
