"""The cells of the papers' table: which there are, and the settings of each."""

import dataclasses
import pathlib

from protocol import (
    DATASETS,
    DENSITY_STATES,
    DISTILLED,
    FAMILIES,
    FOR_KERNELS,
    FOR_MLPS,
    GRID,
    KERNEL,
    PAIRS,
    POLICIES,
    ROWS,
    SELECTED,
)

from obd_jax import data, environments, runs
from obd_jax.pipeline import Distillation, RunSettings, preset
from obd_jax.pipeline.presets import PAPER_STUDENT
from obd_jax.settings import (
    OptionError,
    defaults_of,
    from_options,
    one_of,
    option,
    to_options,
    with_options,
)

# Checkpoints of distillation, in the folder of its set.
PHASE = "distil"


@dataclasses.dataclass(frozen=True)
class TableSettings:
    """Which cells are made, and where."""

    out: str = option("runs/cells", "Folder of the cells; those of the document: docs/results.")
    sets: str = option("runs/table", "Folder of the distilled sets.")
    datasets: tuple[str, ...] = option(DATASETS, "Data sets.")
    rows: tuple[str, ...] = option(ROWS, "Rows; also those of GRID, as av_pbc_knn_0.25.")
    families: tuple[str, ...] = option(FAMILIES, "Students.")
    seeds: tuple[int, ...] = option((0, 1, 2), "Seeds.")
    source: str = option("auto", f"Of the data: one of {', '.join(data.SOURCES)}.")
    data_rows: int = option(0, "Rows of embedded data; 0: as many as D4RL has.")
    pairs: int = option(PAIRS, "Of each set.")
    outer_steps: int | None = option(None, "Of each distillation; absent: the family's default.")
    budget_minutes: float | None = option(None, "Of each distillation at most.")
    together: bool | None = option(
        None,
        "Distils the seeds of a row in one program, without --budget_minutes; absent: where there "
        "is an accelerator.",
    )

    def __post_init__(self) -> None:
        if self.together and self.budget_minutes is not None:
            raise OptionError("{together} takes no {budget_minutes}; give {outer_steps}")
        for name, known in (("rows", (*ROWS, *GRID)), ("families", FAMILIES)):
            for each in getattr(self, name):
                one_of(name, each, known)
        for dataset in self.datasets:
            if dataset != "toy":
                environments.parse_dataset(dataset)


class Cell:
    """One file: row, family and seed on a data set."""

    def __init__(self, table: TableSettings, dataset: str, row: str, family: str | None, seed: int):
        parts = (row, *([family] if family else []), *([] if row == "teacher" else [str(seed)]))
        self.dataset, self.row, self.family, self.seed = dataset, row, family, seed
        self.name = f"{dataset}/{'-'.join(parts)}"
        self.path = pathlib.Path(table.out) / f"{self.name}.json"
        self.set_folder = pathlib.Path(table.sets) / self.name
        self.distilled = row not in SELECTED + POLICIES
        self.settings = self._settings(table)

    def _settings(self, table: TableSettings) -> RunSettings:
        family = self.family or "kernel"
        if self.distilled:
            base = preset("transfer" if family == "mlp" else "default", family)
            base = base if family == "mlp" else with_options(base, **KERNEL)
        else:
            student = PAPER_STUDENT if family == "mlp" else {"student": family}
            base = from_options(Distillation, student)
        options = {**DISTILLED.get(self.row, {}), **GRID.get(self.row, {})}
        if table.outer_steps is not None:
            options["outer_steps"] = table.outer_steps
        return with_options(
            RunSettings(distillation=base),
            dataset=self.dataset,
            source=table.source,
            data_rows=table.data_rows,
            density_states=DENSITY_STATES,
            pairs=table.pairs,
            seed=self.seed,
            budget_minutes=table.budget_minutes,
            **options,
        )

    def done(self) -> bool:
        """Whether the cell's file exists.

        Raises:
            InvalidInputError: it exists and was made with other settings.
        """
        wanted, defaults = to_options(self.settings), defaults_of(RunSettings)
        return runs.read_result(self.path, wanted, defaults) is not None

    def begun(self) -> bool:
        """Whether there is a distillation to resume."""
        return (self.set_folder / runs.CHECKPOINTS / PHASE).exists()


def cells(table: TableSettings) -> dict[str, list[Cell]]:
    """Cells asked for, by data set."""
    found: dict[str, list[Cell]] = {}
    for dataset in table.datasets:
        found[dataset] = []
        for row in table.rows:
            families: tuple[str | None, ...] = (None,) if row in POLICIES else table.families
            for only, rows in (("kernel", FOR_KERNELS), ("mlp", FOR_MLPS)):
                if row in rows:
                    families = tuple(family for family in families if family == only)
            seeds = table.seeds[:1] if row == "teacher" else table.seeds
            found[dataset] += [
                Cell(table, dataset, row, family, seed) for family in families for seed in seeds
            ]
    return found
