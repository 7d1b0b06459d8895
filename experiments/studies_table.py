"""`docs/studies.md` and its picture, from what the studies left; the same files make the same text.

python experiments/studies_table.py
"""

import dataclasses
import json
import pathlib
from collections import defaultdict
from typing import Any

import numpy as np
from diversity import EPISODES, PARTS, SHARE, SURROUNDING
from generalize import STUDENTS
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from results_table import LABELS, Scores, means, read
from table_cells import TEMPERATURES

from obd_jax import density
from obd_jax.command_line import config_from_flags, define_flags, field, run_main

Record = dict[str, Any]

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
class DocumentConfig:
    """What is read and written; each field is a flag of the same name."""

    results: str = field("docs/results", "Folder of the results.")
    out: str = field("docs/studies.md", "Markdown file to write; the picture lies beside it.")


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
        "Sets of `run_table.py` serve students that they were not made for; mean return, and the "
        "worst and best student. Made by `experiments/generalize.py`.",
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


def grid(scores: Scores) -> list[str]:
    """Density models and temperatures."""
    lines = []
    heads = ["objective, data set", "density", "none", *map(str, TEMPERATURES)]
    rows = []
    for objective in ("pbc", "av_pbc"):
        names = {
            name
            for estimator in density.DENSITIES
            for temperature in TEMPERATURES
            for name in scores.get((f"{objective}_{estimator}_{temperature:g}", "kernel"), {})
        }
        for name in sorted(names):
            plain = scores[objective, "kernel"][name]
            for estimator in density.DENSITIES:
                cells = []
                for temperature in TEMPERATURES:
                    row = f"{objective}_{estimator}_{temperature:g}"
                    by_seed = scores.get((row, "kernel"), {}).get(name)
                    cells.append(cell_of(by_seed))
                rows.append([f"{LABELS[objective]}, {name}", estimator, cell_of(plain), *cells])
    if rows:
        lines = [
            "## Density weights",
            "",
            "Kernel student, return by density model and temperature; mean over seeds, and each "
            "seed's. Made by `experiments/run_table.py --rows=pbc_maf_0.1,...`.",
            "",
            *table(heads, rows),
        ]
    return lines


def cell_of(by_seed: dict[int, np.ndarray] | None) -> str:
    """Mean over seeds, and the seeds."""
    if not by_seed:
        return ""
    each = means(by_seed)
    return f"{each.mean():.1f} ({', '.join(f'{value:.0f}' for value in each)})"


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
        f"PBC on a part of the data, kernel student. `random`, `quality` and `diversity` are "
        f"{SHARE:.0%} of the states each: at random, of the episodes with the highest returns, of "
        f"the lowest density (without the lowest hundredth). Means over seeds; returns of "
        f"{EPISODES} episodes. The teacher's states are of its own episodes; those around them "
        f"are moved by Gaussian noise of {SURROUNDING} deviations. Made by "
        "`experiments/diversity.py`.",
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
        "Successive halving over settings of distillation, one core with another busy beside it. "
        "Made by `experiments/search.py`: candidates at random, the best third "
        "goes on to the next rung. Share of the teacher's return, seed by seed, and its mean over "
        "data sets; candidates of a rung compare only over the same seeds.",
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
        "MLP student with its default settings, but for fewer outer steps, all of equal work: "
        "outer steps times training steps times students. Loss of fresh students, and returns; a "
        "number for each seed. "
        "`averaged`: the mean of the sets after every ten of the last quarter of the outer steps. "
        "Made by `experiments/levers.py`.",
        "",
        *table(["", *heads], rows),
    ]


def document(folder: pathlib.Path) -> str:
    """The whole text."""
    scores, _ = read(folder)
    studied = of_parts(folder)
    sections = (
        grid(scores),
        parts(studied),
        generalization(records(folder / "generalization.jsonl")),
        search(records(folder / "search.jsonl")),
        levers(records(folder / "levers.jsonl")),
    )
    text = [
        "# Studies on embedded data",
        "",
        "Made by `make results-doc` from `docs/results/`; do not edit. What follows from "
        "them is in `docs/choices.md`.",
        "",
    ]
    for section in sections:
        text += section
    return "\n".join(text)


def run(config: DocumentConfig) -> None:
    """Write document and picture."""
    folder, out = pathlib.Path(config.results), pathlib.Path(config.out)
    out.write_text(document(folder))
    studied = of_parts(folder)
    if studied:
        draw(studied, out.with_suffix(".png"))
    print(f"written to {out}")


def main() -> None:
    """Entry point."""
    run(config_from_flags(DocumentConfig, {}))


if __name__ == "__main__":
    define_flags(DocumentConfig)
    run_main(main)
