"""`docs/studies.md` and its picture, from what the studies left; the same files make the same text.

python experiments/studies/studies_table.py
"""

import dataclasses
import json
import pathlib
import re
from collections import defaultdict
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from other_students import STUDENTS
from parts import EPISODES, PARTS, SHARE, SURROUNDING

from obd_jax import density
from obd_jax.cli import define_flags, run_main, settings_from_flags
from obd_jax.settings import option

Record = dict[str, Any]
# Mean returns by seed, for (objective, data set) and then (density, temperature).
Weighted = dict[tuple[str, str], dict[tuple[str | None, str | None], dict[int, float]]]

# Objectives whose density weights are studied, as rows of the papers' table have them.
OBJECTIVES = {"pbc": "PBC", "av_pbc": "Av-PBC"}
ROW = re.compile(rf"({'|'.join(OBJECTIVES)})(?:_({'|'.join(density.DENSITIES)})_([\d.]+))?")

MEASURES = {
    "loss": "loss on its own states",
    "pivotal": "error on the teacher's states",
    "surrounding": "error around them",
    "return": "return",
}


# Candidates of a rung in its table.
SHOWN = 9
# Students whose settings were searched, in the order shown.
SEARCHED = {"kernel": "kernel", "mlp": "MLP"}


@dataclasses.dataclass(frozen=True)
class DocumentSettings:
    """What is read and written."""

    results: str = option("docs/results", "Folder of the results.")
    out: str = option("docs/studies.md", "Markdown file to write; the picture lies beside it.")


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Lines of a Markdown table, and an empty one."""
    lines = [head, ["---"] * len(head), *rows]
    return [*(f"| {' | '.join(cells)} |" for cells in lines), ""]


def records(path: pathlib.Path) -> list[Record]:
    """Of a file of JSON lines; none, if it is not there."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def generalization(found: list[Record]) -> list[str]:
    """How sets serve students that they were not made for."""
    if not found:
        return []
    lines = [
        "## Other students",
        "",
        "Students other than those that the sets of `run_table.py` were made for: mean return, "
        "and the worst and the best student in brackets. Made by "
        "`experiments/studies/generalize.py`.",
        "",
    ]
    scores = {
        (*record["set"].split("/"), record["students"]): record["per_student"] for record in found
    }
    for dataset in sorted({dataset for dataset, *_ in scores}):
        sets = sorted({name for each, name, _ in scores if each == dataset})
        rows = []
        for kind in STUDENTS:
            cells = [served(scores.get((dataset, name, kind))) for name in sets]
            if any(cells):
                rows.append([kind, *cells])
        lines += table([f"{dataset}, students", *sets], rows)
    return lines


def served(each: list[float] | None) -> str:
    """Mean over students, and the worst and best; none, if their training diverged."""
    if each is None:
        return ""
    return f"{np.mean(each):.1f} ({min(each):.0f} to {max(each):.0f})" if each else "diverges"


def weighted(folder: pathlib.Path) -> Weighted:
    """Returns of kernel students with and without density weights, from cells of run_table.py."""
    found: Weighted = defaultdict(lambda: defaultdict(dict))
    for path in sorted(folder.glob("*/*-kernel-*.json")):
        cell = json.loads(path.read_text())
        if row := ROW.fullmatch(cell["row"]):
            objective, estimator, temperature = row.groups()
            by_seed = found[objective, cell["dataset"]][estimator, temperature]
            by_seed[cell["seed"]] = float(np.mean(cell["returns"]["kernel"]))
    return found


def grid(found: Weighted) -> list[str]:
    """Density models and the temperatures that there are cells of."""
    given = {temperature for cells in found.values() for _, temperature in cells if temperature}
    if not given:
        return []
    temperatures = sorted(given, key=float)
    rows = []
    for objective, label in OBJECTIVES.items():
        for (own, name), cells in sorted(found.items()):
            if own != objective or len(cells) == 1:
                continue
            for estimator in density.DENSITIES:
                settings = [(None, None), *((estimator, each) for each in temperatures)]
                returns = [cell_of(cells.get(each)) for each in settings]
                rows.append([f"{label}, {name}", estimator, *returns])
    return [
        "## Density weights",
        "",
        "Returns of the kernel student by density model and temperature: the mean over seeds, and "
        "each seed in brackets. Made by `experiments/paper/run_table.py --rows=pbc_maf_0.1,...`.",
        "",
        *table(["objective, data set", "density", "none", *temperatures], rows),
    ]


def cell_of(by_seed: dict[int, float] | None) -> str:
    """Mean over seeds, and the seeds."""
    if not by_seed:
        return ""
    each = [by_seed[seed] for seed in sorted(by_seed)]
    return f"{np.mean(each):.1f} ({', '.join(f'{value:.0f}' for value in each)})"


def of_parts(folder: pathlib.Path) -> list[Record]:
    """The study of parts, of the seeds that every part of a data set has: so means compare."""
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("diversity/*/*.json"))]
    seeds: dict[tuple[str, str], set[int]] = defaultdict(set)
    for record in found:
        seeds[record["dataset"], record["part"]].add(record["seed"])
    return [
        record
        for record in found
        if all(
            record["seed"] in own for (name, _), own in seeds.items() if name == record["dataset"]
        )
    ]


def parts(found: list[Record]) -> list[str]:
    """Parts of data sets, along distillation."""
    if not found:
        return []
    lines = [
        "## Diverse states or good ones?",
        "",
        f"PBC on a part of the data, with the kernel student. Each part has {SHARE:.0%} of the "
        "states: `random` draws them at random, `quality` takes those of the episodes with the "
        "highest returns, and `diversity` those of the lowest density (without the lowest "
        f"hundredth). Values are means over seeds; returns are over {EPISODES} episodes. The "
        "teacher's states are those of its own episodes; the states around them are moved by "
        f"Gaussian noise of {SURROUNDING} standard deviations. Made by "
        "`experiments/studies/diversity.py`.",
        "",
        "![return against training loss](studies.png)",
        "",
    ]
    for name in sorted({record["dataset"] for record in found}):
        steps = [point["step"] for point in found[0]["points"]]
        seeds = sorted({record["seed"] for record in found if record["dataset"] == name})
        rows = []
        for measure, label in MEASURES.items():
            digits = 1 if measure == "return" else 4
            for part in PARTS:
                values = values_of(found, name, part, measure)
                if len(values):
                    cells = [f"{value:.{digits}f}" for value in values.mean(axis=0)]
                    rows.append([label, part, *cells])
        lines += [f"{name}, seeds {', '.join(map(str, seeds))}, by outer steps:", ""]
        lines += table(["", "part", *map(str, steps)], rows)
    return lines


def values_of(found: list[Record], dataset: str, part: str, measure: str) -> np.ndarray:
    """A measure [seeds, points]."""
    return np.array(
        [
            [point[measure] for point in record["points"]]
            for record in found
            if (record["dataset"], record["part"]) == (dataset, part)
        ]
    )


def draw(found: list[Record], path: pathlib.Path) -> None:
    """Return against training loss, for every part."""
    names = sorted({record["dataset"] for record in found})
    figure = Figure(figsize=(5.5 * len(names), 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(names), squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        for part in PARTS:
            losses, returns = (values_of(found, name, part, m) for m in ("loss", "return"))
            if len(losses):
                axis.plot(losses.mean(axis=0), returns.mean(axis=0), marker="o", label=part)
        axis.set(xscale="log", xlabel="loss on its own states", ylabel="return", title=name)
        axis.invert_xaxis()
        axis.legend()
    figure.savefig(path, dpi=120)


def search(found: list[Record]) -> list[str]:
    """The rungs of the searches, best first."""
    if not found:
        return []
    lines = [
        "## Search",
        "",
        "Successive halving over settings of distillation, on one core while the other was busy. "
        "Candidates are drawn at random, and the best third enters the next rung. Cells are shares "
        "of the teacher's return, one for each seed, and their mean over data sets. Compare "
        "candidates of a rung only over the same seeds. Made by `experiments/studies/search.py`.",
        "",
    ]
    for student in SEARCHED:
        own = [record for record in found if student_of(record) == student]
        if own:
            lines += [f"### For the {SEARCHED[student]} student", "", *rungs(own)]
    return lines


def student_of(record: Record) -> str:
    """The student that a trial was for."""
    return str(record["cell"].get("base", {}).get("student", "kernel"))


def rungs(found: list[Record]) -> list[str]:
    """A table of each rung of a search."""
    lines = []
    for seconds in sorted({record["cell"]["seconds"] for record in found}):
        rung = [record for record in found if record["cell"]["seconds"] == seconds]
        shares: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for record in rung:
            settings = " ".join(f"{k}={v}" for k, v in record["cell"]["settings"].items())
            shares[settings][record["cell"]["dataset"]].append(record["result"]["share"])
        sets = sorted({record["cell"]["dataset"] for record in rung})
        rows = []
        for settings, by_set in shares.items():
            each = [np.mean(by_set[name]) for name in sets if by_set[name]]
            cells = [" ".join(f"{share:.2f}" for share in by_set[name]) for name in sets]
            rows.append((float(np.mean(each)), [settings or "the defaults", *cells]))
        rows.sort(key=lambda row: -row[0])
        best = f", the best {SHOWN}" if len(rows) > SHOWN else ""
        lines += [f"{seconds:g} seconds, {len(rows)} candidates{best}:", ""]
        shown = [[f"{mean:.2f}", *cells] for mean, cells in rows[:SHOWN]]
        lines += table(["mean", "settings", *sets], shown)
    return lines


def levers(found: list[Record]) -> list[str]:
    """The same work spent in other ways."""
    if not found:
        return []
    by_name: dict[str, dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in found:
        cell = record["cell"]
        for suffix, values in record["result"].items():
            by_name[cell["lever"] + suffix][cell["dataset"]].append(values)
    sets = sorted({record["cell"]["dataset"] for record in found})
    rows = []
    for name, by_set in by_name.items():
        cells = []
        for measure, digits in (("loss", 4), ("return", 1)):
            for each in sets:
                values = (f"{result[measure]:.{digits}f}" for result in by_set[each])
                cells.append(" ".join(values))
        rows.append([name, *cells])
    heads = [f"{measure}, {name}" for measure in ("loss", "return") for name in sets]
    return [
        "## The same work, spent in other ways",
        "",
        "The MLP student with its default settings, but fewer outer steps. All rows have equal "
        "work: outer steps times training steps times students. Cells are the loss of newly "
        "trained students and the return, one number for each seed. `averaged` is the mean of the "
        "sets after every tenth outer step of the last quarter. Made by "
        "`experiments/studies/levers.py`.",
        "",
        *table(["", *heads], rows),
    ]


def document(folder: pathlib.Path) -> str:
    """The whole text."""
    studied = of_parts(folder)
    sections = (
        grid(weighted(folder)),
        parts(studied),
        generalization(records(folder / "generalization.jsonl")),
        search(records(folder / "search.jsonl")),
        levers(records(folder / "levers.jsonl")),
    )
    text = [
        "# Studies on embedded data",
        "",
        "Made by `make results-doc` from `docs/results/`; do not edit. `docs/choices.md` draws "
        "the conclusions.",
        "",
    ]
    for section in sections:
        text += section
    return "\n".join(text)


def run(settings: DocumentSettings) -> None:
    """Write document and picture."""
    folder, out = pathlib.Path(settings.results), pathlib.Path(settings.out)
    out.write_text(document(folder))
    studied = of_parts(folder)
    if studied:
        draw(studied, out.with_suffix(".png"))
    print(f"written to {out}")


def main() -> None:
    """Entry point."""
    run(settings_from_flags(DocumentSettings))


if __name__ == "__main__":
    define_flags(DocumentSettings)
    run_main(main)
