"""The papers' table: every row on every data set, cell by cell; a cell that exists is not repeated.

    python experiments/run_table.py --datasets=hopper-medium --seeds=0,1,2 --families=kernel
    python experiments/results_table.py

A cell is a JSON file in --out, a set one in --sets; the same command goes on where it was stopped.
The protocol is in `docs/results.md`.
"""

import dataclasses
import functools
import pathlib
import shutil
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from config import FREE, PAPER_STUDENT, Config, preset
from resume import read_made, saving
from scoring import FINAL_SEED, score, score_teacher
from setup_run import (
    Loaded,
    Setup,
    distil,
    form_of_state,
    initial_set,
    load,
    log_densities,
    make_goal,
    prepare,
    surround,
)

from obd_jax import artefacts, data, density, distill, environments, selection, students
from obd_jax.command_line import (
    Clock,
    Progress,
    config_from_flags,
    define_flags,
    field,
    note,
    run_main,
)
from obd_jax.evaluation import score_policies
from obd_jax.types import InvalidInputError, Student, SyntheticData

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

# Steps of an episode that the coreset takes states from, from 0.
SDR_LAST_STEP = 100
EPISODES = 20
CLONE_STEPS = 50_000


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


class Cell:
    """One file: row, family and seed on a data set."""

    def __init__(self, table: TableConfig, dataset: str, row: str, family: str | None, seed: int):
        parts = (row, *([family] if family else []), *([] if row == "teacher" else [str(seed)]))
        self.dataset, self.row, self.family, self.seed = dataset, row, family, seed
        self.name = f"{dataset}/{'-'.join(parts)}"
        self.path = pathlib.Path(table.out) / f"{self.name}.json"
        self.set_folder = pathlib.Path(table.sets) / self.name
        self.config = self._config(table)

    def _config(self, table: TableConfig) -> Config:
        family = self.family or "kernel"
        settings = preset("transfer" if family == "mlp" else "default", family, None, self.dataset)
        if self.row in SELECTED + POLICIES:
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


def cells(table: TableConfig) -> dict[str, list[Cell]]:
    """Cells asked for, by data set."""
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
                Cell(table, dataset, row, family, seed) for seed in seeds for family in families
            ]
    return found


def run(table: TableConfig) -> list[str]:
    """Make the cells that are missing; returns the names of those that failed.

    Raises:
        InvalidInputError: an unknown name, or a cell that exists with other settings.
    """
    wanted = cells(table)
    missing = {dataset: [c for c in group if not c.done()] for dataset, group in wanted.items()}
    count, failed = sum(map(len, missing.values())), []
    progress = Progress("table, cells", interval=0.0)
    number = 0
    for group in missing.values():
        if not group:
            continue
        loaded = load(group[0].config)
        known: dict[Any, Any] = {}
        for cell in group:
            note(f"{cell.name}:")
            try:
                content = make(cell, loaded, known)
                cell.path.parent.mkdir(parents=True, exist_ok=True)
                artefacts.write_json(cell.path, content, indent=None)
                shutil.rmtree(cell.set_folder / artefacts.CHECKPOINTS, ignore_errors=True)
            except (distill.DivergedError, FloatingPointError) as error:
                failed.append(cell.name)
                note(f"{cell.name} failed: {error}")
            number += 1
            progress(number, count)
    print(f"{count - len(failed)} new cells in {table.out}")
    if failed:
        print(f"failed: {', '.join(failed)}")
    return failed


def make(cell: Cell, loaded: Loaded, known: dict[Any, Any]) -> dict[str, Any]:
    """What a cell's file holds: settings, returns of every kind of student, provenance."""
    clock = Clock()
    with jax.default_matmul_precision(cell.config.precision):
        setup = prepare(cell.config, loaded)
        extra: dict[str, Any] = {}
        if cell.row == "teacher":
            episodes = environments.normalized_score(setup.environment, setup.data.episode_returns)
            extra["data"] = {"mean": float(episodes.mean()), "episodes": len(episodes)}
            with clock("evaluate"):
                returns = {"teacher": score_teacher(setup)}
        elif cell.row == "bc":
            returns = {"mlp": clone(cell.config, setup, clock)}
        else:
            if cell.row not in SELECTED:
                synthetic, extra = distilled(cell, setup, known, clock)
            else:
                with clock("select"):
                    synthetic = selected(cell, setup, known)
            with clock("evaluate"):
                returns = score_family(cell, setup, synthetic)
    return {
        "dataset": cell.dataset,
        "row": cell.row,
        "family": cell.family,
        "seed": cell.seed,
        "returns": {kind: np.round(found, 3).tolist() for kind, found in returns.items()},
        **extra,
        "seconds": clock.seconds,
        "config": dataclasses.asdict(cell.config),
        "provenance": {
            "data": dataclasses.asdict(setup.data.provenance),
            "teacher": dataclasses.asdict(setup.teacher.provenance),
            "environment": {"name": setup.environment.name, "backend": setup.environment.backend},
            "software": artefacts.software(),
        },
    }


def distilled(
    cell: Cell, setup: Setup, known: dict[Any, Any], clock: Clock
) -> tuple[SyntheticData, dict[str, Any]]:
    """The distilled set, which is kept as well, and how its distillation ended."""
    config = cell.config
    goal = surround(config, setup, make_goal(config, setup, clock, known), clock, known=known)
    synthetic = initial_set(config, setup, goal)
    progress = Progress("distil, step")
    total = sum(config.narrow_steps) + config.outer_steps
    form = form_of_state(config, setup, synthetic)
    inputs = {
        "SHA-256 of the data": setup.data.provenance.sha256,
        "SHA-256 of the teacher": setup.teacher.provenance.sha256,
    }
    with artefacts.alone(cell.set_folder):
        artefacts.pin(cell.set_folder, dataclasses.asdict(config), inputs, FREE)
        with saving(cell.set_folder, "distil", form, config.checkpoint_minutes) as saver:
            state, last = distil(
                config,
                setup,
                goal,
                synthetic,
                saver,
                lambda _, record: progress(
                    record["step"], total, record["eta_seconds"], f"loss {record['loss']:.4f}"
                ),
            )
    clock.seconds["distil"] = last["seconds"]
    card = {
        "provenance": {
            "data": dataclasses.asdict(setup.data.provenance),
            "teacher": dataclasses.asdict(setup.teacher.provenance),
            "environment": {"name": setup.environment.name, "backend": setup.environment.backend},
            "seed": config.seed,
            "software": artefacts.software(),
        },
        "config": dataclasses.asdict(config),
        "objective": goal.objective,
        "density": goal.density_card,
        "student": students.to_card(setup.recipe),
    }
    artefacts.save(cell.set_folder, artefacts.DistilledSet(state.synthetic, setup.normalizer, card))
    extra = {
        "density": goal.density_card,
        "outer_steps": last["step"],
        "loss": last["loss"],
    }
    return state.synthetic, extra


def selected(cell: Cell, setup: Setup, known: dict[Any, Any]) -> SyntheticData:
    """N real pairs: at random, or the coreset."""
    own = distill.dbc(setup.data, setup.normalizer)
    if cell.row == "random":
        return distill.choose(setup.keys["random_real"], distill.uniform, own, cell.config.pairs)
    if setup.teacher.value is None:
        raise InvalidInputError("sdr ranks by q*, and the teacher has no critic")
    log_density, _ = log_densities(cell.config, setup, known)
    value = jax.jit(setup.teacher.value)
    pieces = range(0, len(setup.data), 100_000)
    values = [
        np.asarray(value(setup.data.observations[i:j], setup.data.actions[i:j]))
        for i, j in ((i, min(i + 100_000, len(setup.data))) for i in pieces)
    ]
    rows = selection.dual_ranking(
        setup.data.episode_steps,
        np.concatenate(values),
        log_density,
        cell.config.pairs,
        last_step=SDR_LAST_STEP,
    )
    return SyntheticData(own.observations[rows], own.actions[rows])


@functools.cache
def ensemble(student: Student) -> Student:
    """Ten students that act together; the same record every time, so that it is compiled once."""
    return students.ensemble(student, 10)


def score_family(cell: Cell, setup: Setup, synthetic: SyntheticData) -> dict[str, np.ndarray]:
    """Returns [K, E] of every kind of student in the family."""
    if cell.family == "kernel":
        return {"kernel": score(setup, "kernel", synthetic, 1, EPISODES, FINAL_SEED)}
    together = setup._replace(student=ensemble(setup.student))
    return {
        "mlp": score(setup, "mlp", synthetic, 10, EPISODES // 2, FINAL_SEED),
        "ensemble": score(together, "ensemble", synthetic, 3, EPISODES // 2, FINAL_SEED),
    }


def clone(config: Config, setup: Setup, clock: Clock) -> np.ndarray:
    """Returns [1, E] of a network cloned on all data."""
    progress, steps = Progress("clone, step"), CLONE_STEPS
    with clock("clone"):
        params = students.clone(
            setup.keys["students"],
            setup.normalizer.normalize(setup.data.observations),
            jnp.asarray(setup.data.actions),
            hidden_sizes=config.hidden_sizes,
            steps=steps,
            callback=lambda done, loss: progress(done, steps, note=f"loss {loss:.4f}"),
        )
    act = (
        students.MLPRecipe(config.hidden_sizes, 1, "sgd", 0.1, 0.0, "action")
        .student(setup.data.action_size)
        .act
    )

    def policy(params: Any, observations: Any) -> Any:
        return act(params, setup.normalizer.normalize(observations))

    with clock("evaluate"):
        return score_policies(
            policy,
            jax.tree.map(lambda leaf: leaf[None], params),
            setup.environment,
            students=1,
            episodes=EPISODES,
            seed=FINAL_SEED,
            progress=Progress("roll out clone, steps"),
        )


def main() -> None:
    """Entry point."""
    if run(config_from_flags(TableConfig, {})):
        sys.exit(1)


if __name__ == "__main__":
    define_flags(TableConfig)
    run_main(main)
