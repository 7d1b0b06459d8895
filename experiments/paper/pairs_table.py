"""`docs/pairs.md` and its picture: return against the number of pairs, from cells of run_table.py.

python experiments/paper/pairs_table.py
"""

import dataclasses
import pathlib

import numpy as np
from pictures import Curve, draw_curves, save
from protocol import DATASETS, PAIRS
from results_table import (
    HELD_OUT,
    KIND_OF_DATA,
    PAPER,
    Scores,
    heading,
    interval_text,
    means,
    read,
)

from obd_jax.cli import define_flags, run_main, settings_from_flags
from obd_jax.evaluation import seeds_interval
from obd_jax.settings import option
from obd_jax.types import InvalidInputError

# The row of the default, and folders of its cells in that of all cells: one for each number.
ROW = "sdw_av_pbc_best_smooth"
FOLDER = "studies/pairs"
# Share of the teacher's return that is enough for "fewest pairs" [%].
ENOUGH = 90
# Normalised returns of Av-PBC on D4RL's medium-replay data, the only curves over the number of
# pairs that the papers show (Lei et al. 2024).
PAPER_SIZES = (16, 32, 64, 128, 256)
PAPER_CURVES = {
    "halfcheetah": (6.9, 15.3, 23.8, 33.2, 35.9),
    "hopper": (27.3, 29.9, 32.3, 38.1, 40.9),
    "walker2d": (14.8, 21.8, 34.0, 50.0, 55.0),
}

# Share of the teacher's return of every seed [%], by data set and number of pairs.
BySize = dict[str, dict[int, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class DocumentSettings:
    """What is read and written."""

    cells: str = option("docs/results", "Folder of the cells.")
    out: str = option("docs/pairs.md", "Markdown file to write; the picture lies beside it.")


def shares(folder: pathlib.Path) -> BySize:
    """Shares of the teacher's return.

    Args:
        folder: of all cells.

    Raises:
        InvalidInputError: there are no cells of other numbers than the table's.
    """
    sizes = sorted(int(path.name) for path in (folder / FOLDER).glob("[0-9]*"))
    if not sizes:
        raise InvalidInputError(f"no cells in {folder / FOLDER}; run_table.py --pairs makes them")
    teacher = read(folder)[0]["teacher", "teacher"]
    found: BySize = {name: {} for name in DATASETS}
    for size in sorted([*sizes, PAIRS]):
        own = folder / (HELD_OUT if size == PAIRS else f"{FOLDER}/{size}")
        scores: Scores = read(own)[0]
        for name, by_seed in scores[ROW, "kernel"].items():
            found[name][size] = 100 * means(by_seed) / means(teacher[name]).mean()
    return found


def average(found: BySize, size: int) -> tuple[float, tuple[float, float] | None]:
    """Mean over the nine data sets and its interval over seeds."""
    tasks = [found[name][size] for name in DATASETS]
    return float(np.mean([task.mean() for task in tasks])), seeds_interval(tasks)


def fewest(found: dict[int, np.ndarray]) -> str:
    """The fewest pairs whose mean share is enough, as text."""
    enough = [size for size, own in sorted(found.items()) if own.mean() >= ENOUGH]
    return str(enough[0]) if enough else f"more than {max(found)}"


def curves(found: BySize) -> dict[str, list[Curve]]:
    """What the picture shows of every environment."""
    panels: dict[str, list[Curve]] = {}
    for name in DATASETS:
        environment, _, kind = name.partition("-")
        own = found[name]
        panels.setdefault(environment, []).append(Curve(kind, [*own], np.stack([*own.values()])))
    for environment, panel in panels.items():
        teachers = PAPER["teacher", "teacher"]
        best = teachers[DATASETS.index(f"{environment}-medium-replay")]
        values = 100 * np.array(PAPER_CURVES[environment])[:, None] / best
        panel.append(Curve("the OBD paper, D4RL's medium-replay", PAPER_SIZES, values))
    return panels


def document(found: BySize, picture: str) -> str:
    """The whole text.

    Args:
        found: shares of the teacher's return.
        picture: its file beside the document.
    """
    sizes = [*found[DATASETS[0]]]
    lines = [
        "# How few pairs suffice",
        "",
        f"![Return in percent of the teacher's against the number of pairs]({picture})",
        "",
        f"*Return in percent of the teacher's against the number of distilled pairs, {sizes[0]} to "
        f"{sizes[-1]}; mean, least and largest of three seeds. Dashed: the OBD paper's Av-PBC with "
        "MLP students on D4RL's medium-replay data, in percent of its own teacher, so with other "
        "data and another teacher.*",
        "",
        "Made by `make results-doc`; do not edit. The sets are those of the default on the nine "
        "embedded data sets at full size, seeds 10, 11 and 12, with the protocol of "
        "[the full table](results.md#protocol); only the number of pairs differs. The settings "
        f"were chosen for {PAIRS} pairs.",
        "",
        "Return in percent of the teacher's, mean of three seeds; the average with its 95% "
        "interval over seeds.",
        "",
        *heading("pairs"),
    ]
    for size in sizes:
        mean, interval = average(found, size)
        cells = [f"{found[name][size].mean():.0f}" for name in DATASETS]
        entry = f"**{mean:.0f}**{interval_text(interval, '{:.0f}')}"
        lines.append(f"| {size} | {' | '.join(cells)} | {entry} |")
    few = [fewest(found[name]) for name in DATASETS]
    lines += [
        "",
        f"The fewest of these numbers with {ENOUGH}% of the teacher's return in the mean:",
        "",
        "| data | " + " | ".join(KIND_OF_DATA) + " |",
        "|---" * (1 + len(KIND_OF_DATA)) + "|",
    ]
    per_environment = len(KIND_OF_DATA)
    for place in range(0, len(DATASETS), per_environment):
        environment = DATASETS[place].partition("-")[0]
        own = few[place : place + per_environment]
        lines.append(f"| {environment} | {' | '.join(own)} |")
    lines += [
        "",
        "This command makes the cells of one number of pairs; those of "
        f"{PAIRS} are the [held-out seeds](results.md#held-out-seeds) of the table:",
        "",
        f"    python experiments/paper/run_table.py --source=embedded --rows={ROW} \\",
        f"        --families=kernel --seeds=10,11,12 --pairs=64 --out=docs/results/{FOLDER}/64",
        "",
    ]
    return "\n".join(lines)


def run(settings: DocumentSettings) -> None:
    """Write the document and its picture."""
    out = pathlib.Path(settings.out)
    picture, found = out.with_suffix(".png"), shares(pathlib.Path(settings.cells))
    save(draw_curves(curves(found), "pairs", "return, % of the teacher's"), picture)
    out.write_text(document(found, picture.name))
    print(f"written to {settings.out}")


def main() -> None:
    """Entry point."""
    run(settings_from_flags(DocumentSettings))


if __name__ == "__main__":
    define_flags(DocumentSettings)
    run_main(main)
