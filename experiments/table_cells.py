"""The cells of the papers' table: which there are, and the settings of each."""

import dataclasses
import pathlib
from typing import Any

from config import PAPER_STUDENT, Config, preset
from resume import read_made

from obd_jax import artefacts, data, density, environments
from obd_jax.command_line import field
from obd_jax.types import InvalidInputError

# Data sets in the papers' order.
DATASETS = tuple(
    f"{environment}-{kind}"
    for environment in ("halfcheetah", "hopper", "walker2d")
    for kind in ("medium-replay", "medium", "medium-expert")
)

# Steps of `--config=transfer` where each costs so many times as much.
SHORTER: dict[float, dict[str, Any]] = {
    3: {"narrow_steps": (667, 200), "outer_steps": 67},
    3.5: {"narrow_steps": (571, 171), "outer_steps": 57},
}
# What distillation's rows are, as settings of a run.
DISTILLED: dict[str, dict[str, Any]] = {
    "dbc": {"objective": "dbc", "temperature": 0.0, "state_noise": 0.0},
    "pbc": {"objective": "pbc", "temperature": 0.0},
    "av_pbc": {"objective": "av_pbc", "temperature": 0.0},
    "sdw_pbc": {"objective": "pbc"},
    "sdw_av_pbc": {"objective": "av_pbc"},
    "av_pbc_long": {
        "objective": "av_pbc",
        "temperature": 0.0,
        "outer_learning_rate": 0.03,
        "outer_steps": 8000,
    },
    "av_pbc_best": {"objective": "av_pbc", "temperature": 0.0, "least_return": 0.33},
    "sdw_av_pbc_best": {"objective": "av_pbc", "least_return": 0.33},
    "sdw_av_pbc_smooth": {"objective": "av_pbc", "ridge": 0.01},
    "av_pbc_best_smooth": {
        "objective": "av_pbc",
        "temperature": 0.0,
        "least_return": 0.33,
        "ridge": 0.01,
    },
    "sdw_av_pbc_best_smooth": {"objective": "av_pbc", "least_return": 0.33, "ridge": 0.01},
    "sdw_av_pbc_early": {"objective": "av_pbc", "early_steps": 50.0},
    "sdw_av_pbc_best_early": {
        "objective": "av_pbc",
        "least_return": 0.33,
        "early_steps": 100.0,
        "outer_optimizer": "adamw",
        "outer_learning_rate": 0.03,
        "clip_norm": 0.03,
    },
    "av_pbc_depths": {"temperature": 0.0, **SHORTER[3], "also_depths": (2, 4)},
    "av_pbc_steps": {"temperature": 0.0, **SHORTER[3.5], "also_steps": (50, 200)},
    "av_pbc_bounded": {"temperature": 0.0, "constraint": "squashed"},
    "av_pbc_early_long": {
        "temperature": 0.0,
        "early_steps": 50.0,
        "state_noise": 0.05,
        "outer_learning_rate": 0.03,
        "outer_steps": 8000,
    },
}
# Every density at every temperature, for the study of density weights.
TEMPERATURES = (0.05, 0.1, 0.25, 0.5)
GRID: dict[str, dict[str, Any]] = {
    f"{objective}_{estimator}_{temperature:g}": {
        "objective": objective,
        "density": estimator,
        "temperature": temperature,
    }
    for objective in ("pbc", "av_pbc")
    for estimator in density.DENSITIES
    for temperature in TEMPERATURES
}
# Rows whose settings are the kernel student's alone.
FOR_KERNELS = (
    *("av_pbc_long", "av_pbc_early_long"),
    *("sdw_av_pbc_smooth", "av_pbc_best_smooth", "sdw_av_pbc_best_smooth"),
    *GRID,
)
# Rows whose settings are the MLP's alone.
FOR_MLPS = ("sdw_av_pbc_best_early", "av_pbc_depths", "av_pbc_steps", "av_pbc_bounded")
SELECTED = ("random", "sdr")
# What has no synthetic set: the policy itself is scored.
POLICIES = ("bc", "teacher")
ROWS = (*SELECTED, *DISTILLED, *POLICIES)

# Students that a set is made for, and that it is scored with. "mlp" is the papers' own, with
# their recipe; sets for it are made as by `--config=transfer`.
FAMILIES = ("kernel", "mlp")
# Checkpoints of distillation, in the folder of its set.
PHASE = "distil"


@dataclasses.dataclass(frozen=True)
class TableConfig:
    """Which cells; each field is a flag of the same name."""

    out: str = field("docs/results", "Folder of the cells.")
    sets: str = field("runs/table", "Folder of the distilled sets.")
    datasets: str = field(",".join(DATASETS), "Data sets, separated by commas.")
    rows: str = field(
        ",".join(ROWS), "Rows, separated by commas; also those of GRID, as av_pbc_knn_0.25."
    )
    families: str = field(",".join(FAMILIES), "Students, separated by commas.")
    seeds: tuple[int, ...] = field((0, 1, 2), "Seeds.")
    source: str = field("auto", f"Of the data: one of {', '.join(data.SOURCES)}.")
    data_rows: int | None = field(None, "Rows of embedded data; absent: as many as D4RL has.")
    outer_steps: int | None = field(None, "Of each distillation; absent: the family's default.")
    budget_minutes: float | None = field(None, "Of each distillation at most.")
    together: bool | None = field(
        None,
        "Distils the seeds of a row in one program, without --budget_minutes; absent: where there "
        "is an accelerator.",
    )


class Cell:
    """One file: row, family and seed on a data set."""

    def __init__(self, table: TableConfig, dataset: str, row: str, family: str | None, seed: int):
        parts = (row, *([family] if family else []), *([] if row == "teacher" else [str(seed)]))
        self.dataset, self.row, self.family, self.seed = dataset, row, family, seed
        self.name = f"{dataset}/{'-'.join(parts)}"
        self.path = pathlib.Path(table.out) / f"{self.name}.json"
        self.set_folder = pathlib.Path(table.sets) / self.name
        self.distilled = row not in SELECTED + POLICIES
        self.config = self._config(table)

    def _config(self, table: TableConfig) -> Config:
        family = self.family or "kernel"
        settings = preset("transfer" if family == "mlp" else "default", family, None, self.dataset)
        if not self.distilled:
            settings = PAPER_STUDENT if family == "mlp" else {"student": family}
        settings = {**settings, **DISTILLED.get(self.row, {}), **GRID.get(self.row, {})}
        if table.outer_steps is not None:
            settings = {**settings, "outer_steps": table.outer_steps}
        return Config(
            dataset=self.dataset,
            source=table.source,
            data_rows=table.data_rows,
            seed=self.seed,
            budget_minutes=table.budget_minutes,
            **settings,
        )

    def done(self) -> bool:
        """Whether the cell's file exists.

        Raises:
            InvalidInputError: it exists and was made with other settings.
        """
        return read_made(self.path, self.config) is not None

    def begun(self) -> bool:
        """Whether there is a distillation to go on with."""
        return (self.set_folder / artefacts.CHECKPOINTS / PHASE).exists()


def cells(table: TableConfig) -> dict[str, list[Cell]]:
    """Cells asked for, by data set."""
    if table.together and table.budget_minutes is not None:
        raise InvalidInputError("--together takes no --budget_minutes; give --outer_steps")
    given = {name: getattr(table, name).split(",") for name in ("datasets", "rows", "families")}
    for name, known in (("rows", (*ROWS, *GRID)), ("families", FAMILIES)):
        for each in given[name]:
            if each not in known:
                raise InvalidInputError(f"unknown {name} {each!r}; known: {', '.join(known)}")
    found: dict[str, list[Cell]] = {}
    for dataset in given["datasets"]:
        if dataset != "toy":
            environments.parse_dataset(dataset)
        found[dataset] = []
        for row in given["rows"]:
            families = [None] if row in POLICIES else given["families"]
            for only, rows in (("kernel", FOR_KERNELS), ("mlp", FOR_MLPS)):
                if row in rows:
                    families = [family for family in families if family == only]
            seeds = table.seeds[:1] if row == "teacher" else table.seeds
            found[dataset] += [
                Cell(table, dataset, row, family, seed) for family in families for seed in seeds
            ]
    return found
