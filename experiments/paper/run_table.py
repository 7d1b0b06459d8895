"""The papers' table: every row on every data set, cell by cell; a cell that exists is not repeated.

    python experiments/paper/run_table.py --datasets=hopper-medium --seeds=0,1,2 --families=kernel
    python experiments/paper/results_table.py --cells=runs/cells --out=runs/results.md

A cell is a JSON file in --out, a set one in --sets; the same command resumes where it was stopped.
The protocol is in `docs/results.md`.
"""

import itertools
import shutil
import sys
from collections.abc import Callable

import jax
from cells import Cell, TableSettings, cells
from content import make
from seeds import distil_seeds, to_distil

from obd_jax import distill, runs
from obd_jax.cli import define_flags, run_main, settings_from_flags
from obd_jax.pipeline import RunSettings, load_problem
from obd_jax.pipeline.settings import in_its_precision
from obd_jax.pipeline.targets import Cache
from obd_jax.reporting import CONSOLE, Reporter


def run(table: TableSettings, reporter: Reporter = CONSOLE) -> list[str]:
    """Make the cells that are missing; returns the names of those that failed.

    Raises:
        InvalidInputError: a cell that exists with other settings.
    """
    together = table.together
    if together is None:
        together = table.budget_minutes is None and jax.default_backend() != "cpu"
    missing = [[cell for cell in group if not cell.done()] for group in cells(table).values()]
    count, number = sum(map(len, missing)), itertools.count(1)
    progress = reporter.progress("table, cells")
    failed = []
    for group in filter(None, missing):
        failed += make_all(
            group[0].settings, group, together, reporter, lambda: progress(next(number), count)
        )
    print(f"{count - len(failed)} new cells in {table.out}")
    if failed:
        print(f"failed: {', '.join(failed)}")
    return failed


@in_its_precision
def make_all(
    settings: RunSettings,
    group: list[Cell],
    together: bool,
    reporter: Reporter,
    made: Callable[[], None],
) -> list[str]:
    """Make cells of a data set; returns the names of those that failed.

    Args:
        settings: that data, teacher and precision are taken from.
        group: the cells, those of a row and family side by side.
        together: whether their seeds are distilled in one program.
        reporter: for progress.
        made: called after every cell.
    """
    problem = load_problem(settings, reporter)
    cache: Cache = {}
    failed = []
    for _, row in itertools.groupby(group, key=lambda cell: (cell.row, cell.family)):
        siblings = [*row]
        if same := to_distil(siblings, together):
            distil_seeds(same, problem, cache, reporter)
        for cell in siblings:
            reporter.note(f"{cell.name}:")
            try:
                content = make(cell, problem, cache, reporter)
                cell.path.parent.mkdir(parents=True, exist_ok=True)
                runs.write_json(cell.path, content, indent=None)
                shutil.rmtree(cell.set_folder / runs.CHECKPOINTS, ignore_errors=True)
            except (distill.DivergedError, FloatingPointError) as error:
                failed.append(cell.name)
                reporter.note(f"{cell.name} failed: {error}")
            made()
    return failed


def main() -> None:
    """Entry point."""
    if run(settings_from_flags(TableSettings)):
        sys.exit(1)


if __name__ == "__main__":
    define_flags(TableSettings)
    run_main(main)
