"""`docs/results.md` and its picture from the cells of run_table.py; the same cells, the same files.

python experiments/paper/results_table.py
"""

import collections
import dataclasses
import json
import pathlib
from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np
from pictures import Effect, Share, Shares, draw_effects, draw_shares, save
from protocol import CLONE_STEPS, DATASETS, EPISODES, ROWS, SDR_LAST_STEP

from obd_jax.cli import define_flags, run_main, settings_from_flags
from obd_jax.evaluation import seeds_interval
from obd_jax.settings import option
from obd_jax.types import InvalidInputError

# Lei et al. (2024), table 1, and Lei et al. (2025) for SDW, on D4RL: means of five seeds.
PAPER: dict[tuple[str, str], tuple[float | None, ...]] = {
    ("random", "mlp"): (0.9, 1.8, 2.0, 19.1, 19.2, 11.6, 1.9, 4.9, 6.7),
    ("dbc", "mlp"): (2.5, 28.2, 29.0, 12.1, 37.8, 31.1, 6.1, 29.3, 11.7),
    ("pbc", "mlp"): (19.4, 30.9, 20.5, 35.6, 25.1, 33.4, 41.5, 33.2, 34.0),
    ("av_pbc", "mlp"): (35.9, 36.9, 22.0, 40.9, 32.5, 38.7, 55.0, 39.5, 42.1),
    ("av_pbc", "ensemble"): (39.8, 41.4, 37.2, 39.7, 27.6, 38.8, 75.9, 58.6, 73.7),
    ("sdw_av_pbc", "mlp"): (None, 39.5, 25.0, None, 38.4, 42.6, None, 42.5, 44.6),
    ("bc", "clone"): (14.0, 42.3, 59.8, 22.9, 50.2, 51.7, 14.6, 65.9, 89.6),
    ("teacher", "teacher"): (45.8, 47.6, 50.8, 98.0, 56.4, 107.3, 87.4, 84.0, 109.0),
}

LABELS = {
    "random": "random pairs",
    "sdr": "SDR coreset",
    "dbc": "DBC",
    "pbc": "PBC",
    "av_pbc": "Av-PBC",
    "sdw_pbc": "SDW-PBC",
    "sdw_av_pbc": "SDW-Av-PBC",
    "av_pbc_long": "Av-PBC, 8,000 steps at 0.03",
    "av_pbc_best": "Av-PBC, good episodes",
    "sdw_av_pbc_best": "SDW-Av-PBC, good episodes",
    "sdw_av_pbc_smooth": "SDW-Av-PBC, ridge 0.01",
    "av_pbc_best_smooth": "Av-PBC, good episodes, ridge 0.01",
    "sdw_av_pbc_best_smooth": "SDW-Av-PBC, good episodes, ridge 0.01",
    "sdw_av_pbc_early": "SDW-Av-PBC, early steps weigh more",
    "sdw_av_pbc_best_early": "SDW-Av-PBC, good episodes, early steps weigh more, decay",
    "av_pbc_depths": "Av-PBC, for two to four hidden layers",
    "av_pbc_steps": "Av-PBC, for 50 to 200 training steps",
    "av_pbc_bounded": "Av-PBC, actions within bounds",
    "av_pbc_early_long": "Av-PBC, early steps weigh more, noise, 8,000 steps at 0.03",
    "bc": "BC on all data",
    "teacher": "teacher",
}
# Folder, in that of the cells, of those whose seeds served for no choice of settings.
HELD_OUT = "studies/held_out_seeds"
# Differences shown: a row, and what it is compared with.
EFFECTS = (
    ("sdw_av_pbc", "av_pbc"),
    ("sdw_pbc", "pbc"),
    ("sdw_av_pbc_best_smooth", "sdw_av_pbc"),
    ("sdw_av_pbc_best_smooth", "av_pbc_best_smooth"),
    ("av_pbc", "pbc"),
    ("av_pbc_long", "av_pbc"),
    ("av_pbc_best", "av_pbc"),
    ("sdw_av_pbc_best", "sdw_av_pbc"),
    ("sdw_av_pbc_best", "av_pbc_best"),
    ("sdw_av_pbc_best_early", "sdw_av_pbc_best"),
    ("sdw_av_pbc_smooth", "sdw_av_pbc"),
    ("av_pbc_best_smooth", "av_pbc_best"),
    ("sdw_av_pbc_best_smooth", "sdw_av_pbc_smooth"),
    ("av_pbc_best_smooth", "av_pbc"),
    ("sdw_av_pbc_early", "sdw_av_pbc"),
    ("av_pbc_early_long", "av_pbc"),
    ("av_pbc_depths", "av_pbc"),
    ("av_pbc_steps", "av_pbc"),
    ("av_pbc_bounded", "av_pbc"),
)
KINDS = {
    "kernel": "Kernel student",
    "mlp": "MLP of the papers, with their recipe",
    "ensemble": "Ensembles of ten such MLPs",
}
SHORT = {"halfcheetah": "HC", "hopper": "Hop", "walker2d": "Wal"}
SHORT_DATA = {"medium, medium-expert": "medium", "medium-replay": "replay", "all": "all"}
KIND_OF_DATA = {"medium-replay": "M-R", "medium": "M", "medium-expert": "M-E"}

PROTOCOL = f"""## Protocol

- **Data** are the nine embedded sets (`docs/datasets.md`) at full size, teachers the bundled ones
  (`docs/teachers.md`); what the cells really used is said above. The papers' rows are their means
  on D4RL, other data and another teacher: a yardstick, no like-for-like comparison.
- **Sets** have 256 pairs. The last set of a distillation counts; none is chosen by its return.
  Settings of the default were chosen on rollouts of other policies (`docs/kernel_students.md`),
  those of the rows below on some of the data sets that they are scored on, and say so.
- **Kernel student**: ridge 1e-3 and all episodes unless the row says otherwise; other settings
  are the defaults of `run_sdw.py`, where "good episodes, ridge 0.01" is the default.
  The student is the same for all initialisations: {EPISODES} episodes.
- **Ridge 0.01**: chosen among 1e-3, 0.01, 0.03 and 0.1 on walker2d-medium-expert, hopper-medium,
  walker2d-medium, the two halfcheetah mixtures and walker2d-medium-replay with good episodes,
  seeds 0 to 2 and the episodes of curves, which are not those of this table.
- **8,000 steps at 0.03**: twice the outer steps of the default at three times their size, chosen on
  halfcheetah-medium-replay, halfcheetah-medium-expert and hopper-medium with another seed (10) and
  other episodes.
- **Good episodes**: `--least_return=0.33`, those with a third of the best episode's return or
  more. The share was chosen for kernel students, on walker2d-medium-replay, both halfcheetah
  mixtures and the episodes of curves, beside fixed shares of the states and other weights. One of
  those, the best 30% of the states, had also been scored on the episodes of this table, and its
  failures on walker2d-medium-expert and halfcheetah-medium-expert were a reason to drop it.
- **Early steps weigh more**: `--early_steps=50`. For the kernel student with noise on states
  (`--state_noise=0.05`) and the 8,000 steps, chosen as those were, with seeds 10 and 11.
- **Early steps weigh more, decay**: `--early_steps=100`, AdamW at 0.03 and gradients clipped at
  0.03, chosen on the shared rollouts of walker2d-medium-expert (`docs/kernel_students.md`).
- **For two to four hidden layers, for 50 to 200 training steps**: the mean loss of students with 2,
  3 and 4 hidden layers (`--also_depths=2,4`), or with 50, 100 and 200 training steps
  (`--also_steps=50,200`), and so fewer outer steps, of the same work. **Actions within bounds**:
  `--constraint=squashed`, where other sets for MLPs leave actions free.
- **MLP**: three layers of 256, 100 steps of SGD at 0.1 on tanh actions, the papers' recipe; sets
  are made by `--config=transfer`. Ten students, {EPISODES // 2} episodes each; three ensembles of
  ten, which act by their mean action, {EPISODES // 2} episodes each.
- **SDR coreset**: `selection.dual_ranking`, steps up to {SDR_LAST_STEP}, which was not tuned.
  **BC on all data**: the same network, {CLONE_STEPS:,} steps of Adam, {EPISODES} episodes.
- **Episodes** of the scores are the same for every row. Their seeds serve for nothing else, apart
  from the rival of good episodes that failed on them.
- **Intervals**, 95%: Student's t over the means of seeds, which hold what sets, students and
  episodes vary by; data sets are not mixed, and a mean over several has the degrees of freedom of
  Welch and Satterthwaite. With one seed there is none. Two or three seeds of one data set give a
  wide one, and a rare fall that no seed shows is in none.
- **Hashes** of the data: cells of one data set name up to two, because a hash covered the versions
  of libraries in the recording's file beside its arrays. New ones are of the arrays alone.
"""


@dataclasses.dataclass(frozen=True)
class DocumentSettings:
    """What is read and written."""

    cells: str = option("docs/results", "Folder of the cells.")
    out: str = option("docs/results.md", "Markdown file to write; the pictures lie beside it.")


# Scores [units] of every seed, by row, kind of student, data set and seed.
Scores = dict[tuple[str, str], dict[str, dict[int, np.ndarray]]]


def read(folder: pathlib.Path) -> tuple[Scores, list[dict[str, Any]]]:
    """Scores of all cells, and the cells."""
    scores: Scores = defaultdict(lambda: defaultdict(dict))
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*/*.json"))]
    if not found:
        raise InvalidInputError(f"no cells in {folder}; run_table.py makes them")
    for cell in found:
        for kind, returns in cell["returns"].items():
            kind = "clone" if cell["row"] == "bc" else kind
            array = np.array(returns)
            units = array.mean(axis=1) if len(array) > 1 else array[0]
            scores[cell["row"], kind][cell["dataset"]][cell["seed"]] = units
    return scores, found


def means(by_seed: dict[int, np.ndarray]) -> np.ndarray:
    """Mean of every seed."""
    return np.array([by_seed[seed].mean() for seed in sorted(by_seed)])


def interval_of(tasks: list[np.ndarray], form: str = "{:.1f}") -> str:
    """Interval over the seeds of every task as text; empty where one has a single seed."""
    return interval_text(seeds_interval(tasks), form)


def interval_text(found: tuple[float, float] | None, form: str = "{:.1f}") -> str:
    """An interval as text; empty if there is none."""
    return "" if found is None else f" [{form.format(found[0])}, {form.format(found[1])}]"


def entry(by_seed: dict[int, np.ndarray] | None) -> str:
    """Mean and interval of a table's cell."""
    if not by_seed:
        return ""
    return f"{means(by_seed).mean():.1f}{interval_of([means(by_seed)], '{:.0f}')}"


def over_all(
    found: dict[str, dict[int, np.ndarray]],
) -> tuple[float, tuple[float, float] | None] | None:
    """Mean over all nine data sets and its interval; None unless there are nine."""
    if any(not found.get(name) for name in DATASETS):
        return None
    tasks = [means(found[name]) for name in DATASETS]
    return float(np.mean([task.mean() for task in tasks])), seeds_interval(tasks)


def average(found: dict[str, dict[int, np.ndarray]]) -> str:
    """Mean over all nine data sets and its interval as text; empty unless there are nine."""
    whole = over_all(found)
    return "" if whole is None else f"**{whole[0]:.1f}**{interval_text(whole[1])}"


def heading(first: str) -> list[str]:
    """Two lines of a table with a column for each data set."""
    names = []
    for name in DATASETS:
        environment, _, kind = name.partition("-")
        names.append(f"{SHORT[environment]} {KIND_OF_DATA[kind]}")
    return [f"| {first} | {' | '.join(names)} | average |", "|" + "---|" * (len(names) + 2)]


def paper_line(row: str, kind: str) -> list[str]:
    """The papers' numbers for a row, if they have any."""
    values = PAPER.get((row, kind))
    if values is None:
        return []
    known = [value for value in values if value is not None]
    mean = f"{np.mean(known):.1f}" if len(known) == len(values) else ""
    cells = ["" if value is None else f"{value:.1f}" for value in values]
    return [f"| *papers, D4RL* | {' | '.join(cells)} | {mean} |"]


def line(scores: Scores, row: str, kind: str, label: str) -> list[str]:
    """A row and, under it, the papers'."""
    found = scores.get((row, kind))
    if not found:
        return []
    cells = [entry(found.get(name)) for name in DATASETS]
    return [f"| {label} | {' | '.join(cells)} | {average(found)} |", *paper_line(row, kind)]


def kind_table(scores: Scores, kind: str) -> list[str]:
    """All rows of a kind of student."""
    lines = [*heading(KINDS[kind])]
    for row in ROWS:
        lines += line(scores, row, kind, LABELS[row])
    return [*lines, ""]


class Difference(NamedTuple):
    """How much one row has more than another.

    data:     kinds of data sets.
    mean:     over data sets and seeds that both have.
    interval: over seeds; None: one seed.
    positive: data sets on which it is.
    total:    of data sets.
    """

    data: str
    mean: float
    interval: tuple[float, float] | None
    positive: int
    total: int


def differences(scores: Scores, kind: str, row: str, base: str) -> list[Difference]:
    """A row minus another, seed by seed, on kinds of data sets; nothing where one lacks them."""
    ours, theirs = scores.get((row, kind)), scores.get((base, kind))
    if not ours or not theirs:
        return []
    found = []
    for label, kinds in (
        ("medium, medium-expert", ("medium", "medium-expert")),
        ("medium-replay", ("medium-replay",)),
        ("all", tuple(KIND_OF_DATA)),
    ):
        tasks = []
        for name in DATASETS:
            if name.partition("-")[2] in kinds and ours.get(name) and theirs.get(name):
                seeds = sorted(set(ours[name]) & set(theirs[name]))
                difference = [ours[name][s].mean() - theirs[name][s].mean() for s in seeds]
                tasks.append(np.array(difference))
        tasks = [task for task in tasks if len(task)]
        if not tasks:
            continue
        each = [task.mean() for task in tasks]
        found.append(
            Difference(
                label,
                float(np.mean(each)),
                seeds_interval(tasks),
                sum(mean > 0 for mean in each),
                len(tasks),
            )
        )
    return found


def effect(scores: Scores, kind: str, row: str, base: str) -> list[str]:
    """Lines of a table on how much one row has more than another."""
    return [
        f"| {LABELS[row]} minus {LABELS[base]} | {KINDS[kind]} | {one.data} | {one.mean:+.1f}"
        f"{interval_text(one.interval, '{:+.1f}') or ' (one seed)'} "
        f"| {one.positive} of {one.total} |"
        for one in differences(scores, kind, row, base)
    ]


def held_out_seeds(folder: pathlib.Path, table: Scores) -> list[str]:
    """Rows on held-out seeds; empty, if there are no such cells.

    Args:
        folder: of those cells.
        table: scores of the table, for the teacher's.
    """
    if not folder.is_dir():
        return []
    scores, found = read(folder)
    teacher = over_all(table.get(("teacher", "teacher"), {}))
    seeds = sorted({cell["seed"] for cell in found})
    lines = [
        "## Held-out seeds",
        "",
        f"The ridge was chosen with the seeds of the table below, so these rows have other seeds, "
        f"{', '.join(map(str, seeds))}, and the same protocol. The share of good episodes was "
        f"chosen with seeds 10 and 11 on some of the data sets, and other episodes. {len(found)} "
        "cells.",
        "",
        *heading(KINDS["kernel"]),
    ]
    for row in ROWS:
        lines += line(scores, row, "kernel", LABELS[row])
    lines += [
        "",
        "| row | of the teacher, mean [95% interval over seeds] | each seed | worst of all sets |",
    ]
    lines += ["|---|---|---|---|"]
    for row in ROWS:
        by_set = scores.get((row, "kernel"), {})
        whole = over_all(by_set)
        if whole is None or teacher is None:
            continue
        mean, *ends = (100 * value / teacher[0] for value in (whole[0], *(whole[1] or ())))
        worst = min(
            (units.mean() / means(table["teacher", "teacher"][name]).mean(), name, seed)
            for name, by_seed in by_set.items()
            for seed, units in by_seed.items()
        )
        interval = f" [{ends[0]:.0f}%, {ends[1]:.0f}%]" if ends else ""
        each = [
            np.mean([by_set[name][seed].mean() for name in DATASETS]) / teacher[0]
            for seed in seeds
            if all(seed in by_set[name] for name in DATASETS)
        ]
        lines.append(
            f"| {LABELS[row]} | {mean:.0f}%{interval} | {', '.join(f'{one:.0%}' for one in each)} "
            f"| {worst[0]:.0%}, {worst[1]}, seed {worst[2]} |"
        )
    lines += ["", "| difference | student | data sets | mean [95% interval] | positive |"]
    lines += ["|---|---|---|---|---|"]
    for row, base in EFFECTS:
        lines += effect(scores, "kernel", row, base)
    return [*lines, ""]


def shares(scores: Scores) -> list[str]:
    """Average of rows as a share of the teacher's, over the data sets that both have."""
    teacher = scores.get(("teacher", "teacher"), {})
    clone = scores.get(("bc", "clone"), {})
    lines = []
    for kind, title in KINDS.items():
        for row in ROWS:
            found = scores.get((row, kind), {})
            common = [name for name in DATASETS if name in found and name in teacher]
            if not common:
                continue
            ours = np.array([means(found[name]).mean() for name in common])
            best = np.array([means(teacher[name]).mean() for name in common])
            beaten = [
                means(found[name]).mean() > means(clone[name]).mean()
                for name in common
                if name in clone
            ]
            lines.append(
                f"| {LABELS[row]} | {title} | {len(common)} | {100 * ours.sum() / best.sum():.0f}% "
                f"| {sum(beaten)} of {len(beaten)} |"
            )
    return lines


def drawn(scores: Scores) -> Shares | None:
    """What the picture shows: rows with all nine data sets; None without such rows or a teacher."""
    best = over_all(scores.get(("teacher", "teacher"), {}))
    if best is None:
        return None

    def share(row: str, kind: str) -> list[Share]:
        whole = over_all(scores.get((row, kind), {}))
        if whole is None:
            return []
        mean, *ends = (100 * value / best[0] for value in (whole[0], *(whole[1] or ())))
        return [Share(LABELS[row], mean, (ends[0], ends[1]) if ends else None)]

    rows = {
        title: [each for row in ROWS for each in share(row, kind)] for kind, title in KINDS.items()
    }
    clone = [each.mean for each in share("bc", "clone")]
    return Shares({title: own for title, own in rows.items() if own}, clone[0] if clone else None)


def drawn_effects(scores: Scores, suffix: str = "") -> dict[str, list[Effect]]:
    """What density weights add for each kind of student, as the picture of them shows it.

    Args:
        scores: of the rows with and without.
        suffix: of the names of kinds.
    """
    found = {}
    for kind, title in KINDS.items():
        effects = [
            Effect(f"{LABELS[base]}: {SHORT_DATA[one.data]}", one.mean, one.interval)
            for row, base in EFFECTS
            if LABELS[row] == f"SDW-{LABELS[base]}"
            for one in differences(scores, kind, row, base)
        ]
        if effects:
            found[title + suffix] = effects
    return found


def minutes(found: list[dict[str, Any]]) -> list[str]:
    """What distilling cost, by family."""
    lines = []
    for family in ("kernel", "mlp"):
        spent = [
            cell["seconds"]["distil"]
            for cell in found
            if cell["family"] == family and "distil" in cell["seconds"]
        ]
        if spent:
            lines.append(
                f"- {family}: {len(spent)} sets, median {np.median(spent):.0f} s of distillation, "
                f"{sum(spent) / 3600:.1f} h together"
            )
    return lines


def picture_lines(shares: Shares | None, name: str) -> list[str]:
    """The picture in the document; nothing, if there is none."""
    if shares is None:
        return []
    return [
        f"![Mean return of every row over the nine data sets, in percent of the teacher's]({name})",
        "",
        "*Mean return over the nine data sets in percent of the teacher's, with the 95% interval "
        "over seeds of rows that have several; the teacher and BC have one seed. Rows that were "
        "not run on all nine data sets are not shown.*",
        "",
    ]


def document(folder: pathlib.Path, picture: str = "results.png") -> str:
    """The whole text.

    Args:
        folder: of the cells.
        picture: its file beside the document.
    """
    scores, found = read(folder)
    sources = sorted({cell["provenance"]["data"]["source"] for cell in found})
    backends = sorted({cell["provenance"]["environment"]["backend"] for cell in found})
    teachers = sorted({cell["provenance"]["teacher"]["source"] for cell in found})
    lines = [
        f"# Results on {', '.join(sources)} data",
        "",
        *picture_lines(drawn(scores), picture),
        "Made by `make results-doc` from the cells in `docs/results/`, which `python "
        "experiments/paper/run_table.py --out=docs/results` makes; do not edit.",
        "",
        "`make check-results NUMBER=1` makes five cells again from nothing, chosen at random by "
        "that number, and says whether their means are within the intervals below.",
        "",
        f"Normalised returns, mean [95% interval]. Data: {', '.join(sources)} (not D4RL's). "
        f"Teachers: {', '.join(teachers)}. Environments: {', '.join(backends)}. "
        f"{len(found)} cells; a cell that is empty was not run.",
        "",
        *held_out_seeds(folder / HELD_OUT, scores),
        "## The table",
        "",
        *heading("References"),
        *line(scores, "teacher", "teacher", "teacher"),
        *line(scores, "bc", "clone", LABELS["bc"]),
        "",
    ]
    for kind in KINDS:
        if any(have == kind for _, have in scores):
            lines += kind_table(scores, kind)
    lines += ["Seeds of each row and kind:", ""]
    for row in ROWS:
        for kind in KINDS:
            by_set = scores.get((row, kind))
            if by_set:
                seeds = collections.Counter(seed for each in by_set.values() for seed in each)
                run_on = ", ".join(f"{seed} on {count}" for seed, count in sorted(seeds.items()))
                lines.append(f"- {LABELS[row]}, {kind}: {run_on} data sets")
    lines += ["", "Cost, with the core shared with other work:", "", *minutes(found), ""]
    lines += [
        "## Share of the teacher's score",
        "",
        "Sum over the data sets that were run; the last column: on how many of them the row has "
        "more than BC on all data.",
        "",
        "| row | student | data sets | of the teacher | above BC |",
        "|---|---|---|---|---|",
        *shares(scores),
        "",
        "## What helps, and does density weighting?",
        "",
        "Differences seed by seed, interval over seeds; the last column: on how many data sets "
        "the difference is positive.",
        "",
        "| difference | student | data sets | mean [95% interval] | positive |",
        "|---|---|---|---|---|",
    ]
    for kind in KINDS:
        for row, base in EFFECTS:
            lines += effect(scores, kind, row, base)
    return "\n".join([*lines, "", PROTOCOL])


def run(settings: DocumentSettings) -> None:
    """Write the document and its picture."""
    folder, out = pathlib.Path(settings.cells), pathlib.Path(settings.out)
    picture, scores = out.with_suffix(".png"), read(folder)[0]
    text, shares, effects = document(folder, picture.name), drawn(scores), drawn_effects(scores)
    if (folder / HELD_OUT).is_dir():
        effects |= drawn_effects(read(folder / HELD_OUT)[0], ", held-out seeds")
    if shares is not None:
        save(draw_shares(shares), picture)
    if effects:
        save(draw_effects(effects), out.with_name("density_weights.png"))
    out.write_text(text)
    print(f"written to {settings.out}")


def main() -> None:
    """Entry point."""
    run(settings_from_flags(DocumentSettings))


if __name__ == "__main__":
    define_flags(DocumentSettings)
    run_main(main)
