"""Re-make a few cells of the committed table from nothing, and compare their means with it.

    python experiments/paper/check_results.py --number=1 --out=runs/check

The cells are chosen at random among kernel students and selected pairs, so that the seconds that
are recorded in them, with those of recording their data, are within --minutes. The new ones lie in
--out, with no use of the cache; the committed ones are only read. Exit code 1: a mean differs.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from cells import Cell, TableSettings
from protocol import DISTILLED, SELECTED
from results_table import Scores, means, read
from run_table import make_all

from obd_jax.cli import define_flags, run_main, settings_from_flags
from obd_jax.data.embedded import embedded_rows
from obd_jax.evaluation import seeds_interval
from obd_jax.reporting import CONSOLE, Reporter
from obd_jax.settings import OptionError, option

Json = dict[str, Any]
# Seconds that cells of a data set share: a cell whose run had them from another has next to none.
SHARED = ("targets", "density")
# Seconds that two cores record a row of data in, rounded up (`docs/datasets.md`).
RECORDING = 6e-5


@dataclasses.dataclass(frozen=True)
class CheckSettings:
    """Which cells are made again, and where."""

    number: int = option(1, "Decides the choice of cells.")
    count: int = option(5, "Cells.")
    minutes: float = option(20.0, "That the cells may take together, by their recorded seconds.")
    cells: str = option("docs/results", "Folder of the committed cells; nothing is written there.")
    out: str = option("runs/check", "Folder of the new cells and sets; empty, or not there.")


class Verdict(NamedTuple):
    """What became of a cell's students of one kind.

    text: in words.
    good: whether the new mean is where it may be.
    """

    text: str
    good: bool


def run(settings: CheckSettings, reporter: Reporter = CONSOLE) -> list[Verdict]:
    """Make the cells and print a line on each kind of student in them.

    Raises:
        InvalidInputError: the folder of the new cells is not empty, or lies in that of the
            committed ones; or no cell is made in the time.
    """
    committed, out = pathlib.Path(settings.cells), pathlib.Path(settings.out)
    if out.resolve().is_relative_to(committed.resolve()):
        raise OptionError("{out} lies in {cells}, where nothing is written")
    if out.exists() and any(out.iterdir()):
        raise OptionError(f"{{out}}: {out} is not empty, and cells are made from nothing")
    scores, found = read(committed)
    chosen = choose(found, settings.number, settings.count, 60 * settings.minutes)
    if not chosen:
        raise OptionError("no cell is made within {minutes}")
    about = total_seconds(chosen, found) / 60
    print(f"cells: {len(chosen)}, minutes: about {about:.0f}", flush=True)
    table = TableSettings(out=str(out / "cells"), sets=str(out / "sets"), source="embedded")
    by_data: dict[str, list[tuple[Cell, Json]]] = defaultdict(list)
    for old in chosen:
        cell = Cell(table, old["dataset"], old["row"], old["family"], old["seed"])
        by_data[cell.dataset].append((cell, old))
    verdicts = []
    with empty_cache():
        for pairs in by_data.values():
            group = [cell for cell, _ in pairs]
            make_all(group[0].settings, group, False, reporter, lambda: None)
            for cell, old in pairs:
                verdicts += verdicts_on(cell, old, scores)
    for verdict in verdicts:
        print(verdict.text)
    print(f"{sum(verdict.good for verdict in verdicts)} of {len(verdicts)} means are within")
    return verdicts


@contextlib.contextmanager
def empty_cache() -> Iterator[None]:
    """Recordings and densities of the ordinary cache are not used, and none are added to it."""
    name = "OBD_JAX_CACHE"
    before = os.environ.get(name)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[name] = folder
        try:
            yield
        finally:
            os.environ.pop(name)
            if before is not None:
                os.environ[name] = before


def choose(found: list[Json], number: int, count: int, seconds: float) -> list[Json]:
    """Cells at random, one after the other, without those that would take too long.

    Args:
        found: all cells.
        number: decides the choice.
        count: how many at most.
        seconds: that they may take together.
    """
    known = [cell for cell in found if may_be_chosen(cell)]
    chosen: list[Json] = []
    for place in np.random.default_rng(number).permutation(len(known)):
        if len(chosen) == count:
            break
        if total_seconds([*chosen, known[place]], found) <= seconds:
            chosen.append(known[place])
    return chosen


def may_be_chosen(cell: Json) -> bool:
    """Whether a cell is a row of the table that is soon made: selected, or for the kernel."""
    for_kernel = cell["family"] == "kernel" and cell["row"] in DISTILLED
    return for_kernel or cell["row"] in SELECTED


def total_seconds(chosen: list[Json], found: list[Json]) -> float:
    """What cells take together from nothing, by what was recorded on their data sets."""
    names = {cell["dataset"] for cell in chosen}
    total = RECORDING * sum(embedded_rows(name) for name in names)
    for cell in chosen:
        seconds = dict(cell["seconds"])
        shared = [name for name in SHARED if name in seconds]
        # The coreset ranks by the density too, in the seconds of its choice.
        shared += ["density"] if cell["row"] == "sdr" else []
        seconds.update({name: usual_seconds(found, cell["dataset"], name) for name in shared})
        total += sum(seconds.values())
    return total


def usual_seconds(found: list[Json], dataset: str, name: str) -> float:
    """Median of a shared part on a data set, over the cells that spent a second or more on it."""
    each = [cell["seconds"].get(name, 0.0) for cell in found if cell["dataset"] == dataset]
    return float(np.median([seconds for seconds in each if seconds >= 1] or [0.0]))


def verdicts_on(cell: Cell, old: Json, scores: Scores) -> list[Verdict]:
    """A verdict on each kind of student of a cell.

    Args:
        cell: the new one; its file is not there if it diverged.
        old: the committed one.
        scores: of all committed cells.
    """
    if not cell.path.exists():
        return [Verdict(f"{cell.name}: diverged", False)]
    new = json.loads(cell.path.read_text())["returns"]
    verdicts = []
    for kind, returns in old["returns"].items():
        (low, high), source = allowed(old, scores[old["row"], kind][old["dataset"]], kind)
        mean, before = np.mean(new[kind]), np.mean(returns)
        # The table states intervals in whole numbers.
        good = round(low) <= round(mean) <= round(high)
        where = "within" if good else "OUTSIDE"
        verdicts.append(
            Verdict(
                f"{cell.name}, {kind}: {mean:.1f}, committed {before:.1f}: "
                f"{where} [{low:.0f}, {high:.0f}], {source}",
                good,
            )
        )
    return verdicts


def allowed(
    old: Json, by_seed: dict[int, np.ndarray], kind: str
) -> tuple[tuple[float, float], str]:
    """Where a new mean may be, and what that comes from.

    With several seeds it is the table's interval. With one it is the 95% interval of a second mean
    of as many episodes, or of as many students where there are several, about the committed mean.

    Args:
        old: the committed cell.
        by_seed: committed scores of its row and data set.
        kind: of students.
    """
    interval = seeds_interval([means(by_seed)])
    if interval is not None:
        return interval, f"the table's interval over {len(by_seed)} seeds"
    units = by_seed[old["seed"]]
    own = seeds_interval([units])
    assert own is not None  # A cell has several episodes.
    several = "students" if len(old["returns"][kind]) > 1 else "episodes"
    # Both means vary.
    half = np.sqrt(2) * (own[1] - own[0]) / 2
    center = float(units.mean())
    return (center - half, center + half), f"what its own {len(units)} {several} allow (one seed)"


def main() -> None:
    """Entry point."""
    if not all(verdict.good for verdict in run(settings_from_flags(CheckSettings))):
        sys.exit(1)


if __name__ == "__main__":
    define_flags(CheckSettings)
    run_main(main)
