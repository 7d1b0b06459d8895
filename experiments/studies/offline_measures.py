r"""How well measures without an environment rank sets by the returns that their students earn.

    python experiments/studies/offline_measures.py --out=runs/offline \
        --sets=runs/table/hopper-medium/pbc-kernel-0,runs/table/hopper-medium/dbc-kernel-0

Sets of any number of data sets; give at least twenty of each, of all qualities. A return is that of
results.json, or scored now. Measures that are in --out already are read, not made again. Sets that
were distilled from all episodes have seen those that are held out here; 256 pairs hold little of
them, and the column says which.
"""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from rescoring import score_with
from scipy.stats import spearmanr

from obd_jax import artefacts, runs
from obd_jax.cli import define_flags, run_main, settings_from_flags
from obd_jax.data import DataSettings
from obd_jax.data.cache import sha256
from obd_jax.pipeline import Distillation, RunSettings, load_problem
from obd_jax.pipeline.offline import measure, students_of
from obd_jax.pipeline.preparation import Prepared, make_student, prepare
from obd_jax.reporting import CONSOLE, Reporter
from obd_jax.settings import OptionError, applicable, from_options, option, options_of
from obd_jax.teachers import TeacherSettings
from obd_jax.types import InvalidInputError

# Measure -> whether more of it is better.
MEASURES = {
    "action_error": False,
    "rarest": False,
    "commonest": False,
    "teacher_preferred": False,
    "advantage_lost": False,
    "fitted_q": True,
}


@dataclasses.dataclass(frozen=True)
class StudySettings:
    """Which sets, and how they are judged."""

    sets: tuple[str, ...] = option((), "Run folders with distilled.npz. Required.")
    out: str = option("runs/offline_measures", "Folder of measures, one file for each data set.")
    holdout: float = option(0.1, "Share of the episodes that are held out.")
    students: int = option(10, "K, students trained on each set.")
    fqe_steps: int = option(10_000, "Steps of fitted Q evaluation; 0: none.")

    def __post_init__(self) -> None:
        if not 0 < self.holdout < 1:
            raise OptionError(f"{{holdout}} must be in (0, 1), got {self.holdout}")


def data_options(card: dict[str, Any]) -> dict[str, Any]:
    """Options of data, teacher and objective that a set was distilled with.

    Raises:
        InvalidInputError: the card has none.
    """
    config = card.get("config")
    if not isinstance(config, dict) or not {"dataset", "dataset_path"} & config.keys():
        raise InvalidInputError("a set's card names no data: it was not made by run_sdw.py")
    names = [*options_of(DataSettings), *options_of(TeacherSettings)]
    found = {name: config[name] for name in names if config.get(name) is not None}
    if config.get("objective") == "dbc":
        found["objective"] = "dbc"
    return found


def prepared_for(options: dict[str, Any], settings: StudySettings, reporter: Reporter) -> Prepared:
    """Data without the episodes held out, their teacher and those episodes."""
    known = applicable(RunSettings, {**options, "holdout": settings.holdout})
    problem = load_problem(from_options(RunSettings, known), reporter)
    own = {"objective": options["objective"]} if "objective" in options else {}
    distillation = from_options(Distillation, {"pairs": 1, "temperature": 0.0, **own})
    return prepare(jax.random.key(0), problem, distillation, reporter)


def true_return(folder: pathlib.Path) -> float:
    """Mean return of students of a set, as its run has scored it or else scored now."""
    path = folder / "results.json"
    if path.exists():
        row = json.loads(path.read_text())["returns"].get("synthetic")
        if row is not None:
            return float(row["mean"])
    results = score_with(folder / "distilled.npz", {})
    return float(results["returns"]["synthetic"]["mean"])


def measured(
    folders: list[pathlib.Path],
    options: dict[str, Any],
    settings: StudySettings,
    reporter: Reporter,
) -> dict[str, Any]:
    """Returns and measures of the sets of one data set, kept in a file.

    Raises:
        InvalidInputError: a set cannot be used.
    """
    identity = {
        "options": options,
        "sets": {str(folder): sha256(folder / "distilled.npz") for folder in folders},
        "holdout": settings.holdout,
        "students": settings.students,
        "fqe_steps": settings.fqe_steps,
    }
    text = json.dumps(identity, sort_keys=True)
    name = pathlib.Path(options.get("dataset") or options["dataset_path"]).stem
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    path = pathlib.Path(settings.out) / f"{name}-{digest}.json"
    if path.exists():
        return json.loads(path.read_text())
    prepared = prepared_for(options, settings, reporter)
    acts, rows = {}, {}
    for folder in folders:
        distilled = artefacts.load(folder)
        student = make_student(distilled.recipe, prepared.data.action_size)
        own = prepared._replace(student=student, normalizer=distilled.normalizer)
        acts[str(folder)] = students_of(own, distilled.synthetic, settings.students)
        seen = not distilled.card.get("config", {}).get("holdout")
        rows[str(folder)] = {"return": true_return(folder), "has_seen_held_out": seen}
    found = measure(prepared, acts, settings.fqe_steps, reporter)
    for set_name, row in rows.items():
        row["measures"] = found["policies"][set_name]
    path.parent.mkdir(parents=True, exist_ok=True)
    results = {
        "data": prepared.data.provenance.name,
        **identity,
        "rows": rows,
        "teacher": found["policies"].get("teacher"),
        "held_out": found["held_out"],
        "software": artefacts.software(),
    }
    runs.write_json(path, results)
    return results


def value_of(measures: dict[str, Any], name: str) -> float | None:
    """A measure by its name in the table; None: it was not made."""
    if name in ("rarest", "commonest"):
        parts = measures.get("by_density")
        return None if parts is None else parts[0 if name == "rarest" else -1]
    found = measures.get(name)
    return found["mean"] if isinstance(found, dict) else found


def correlations(results: dict[str, Any]) -> dict[str, float | None]:
    """Spearman's rank correlation of each measure, better ones higher, with the return."""
    rows = results["rows"].values()
    returns = [row["return"] for row in rows]
    vary = len(returns) > 2 and np.ptp(returns) > 0
    found: dict[str, float | None] = {}
    for name, more_is_better in MEASURES.items():
        values = [value_of(row["measures"], name) for row in rows]
        numbers = np.array([np.nan if value is None else value for value in values], float)
        if not vary or np.isnan(numbers).any() or np.ptp(numbers) == 0:
            found[name] = None
            continue
        found[name] = float(spearmanr(numbers if more_is_better else -numbers, returns)[0])
    return found


def lines_of(all_results: list[dict[str, Any]]) -> Iterator[str]:
    """The table, a line for each data set."""
    yield f"| data set | sets | have seen the held-out | {' | '.join(MEASURES)} |"
    yield "|" + "---|" * (len(MEASURES) + 3)
    for results in all_results:
        found, rows = correlations(results), results["rows"].values()
        cells = ["" if value is None else f"{value:.2f}" for value in found.values()]
        seen = sum(row["has_seen_held_out"] for row in rows)
        yield f"| {results['data']} | {len(rows)} | {seen} | {' | '.join(cells)} |"


def run(settings: StudySettings, reporter: Reporter = CONSOLE) -> str:
    """Measure what is missing and print the table."""
    if not settings.sets:
        raise OptionError("{sets} is required: run folders with distilled.npz")
    groups: dict[str, tuple[dict[str, Any], list[pathlib.Path]]] = {}
    for name in settings.sets:
        folder = pathlib.Path(name)
        options = data_options(artefacts.load(folder).card)
        groups.setdefault(json.dumps(options, sort_keys=True), (options, []))[1].append(folder)
    found = [measured(folders, options, settings, reporter) for options, folders in groups.values()]
    table = "\n".join(lines_of(found))
    print(table)
    return table


def main() -> None:
    """Entry point."""
    run(settings_from_flags(StudySettings))


if __name__ == "__main__":
    define_flags(StudySettings)
    run_main(main)
