"""What learners learn from sets that were made for others: tables and pictures.

    python experiments/paper/one_set_table.py

`docs/one_set_table.md` has every learner on every data set, `docs/one_set.png` the same for pool
sets, `docs/transfer.png` the means on sets of every kind. The same summaries make the same files.
"""

import dataclasses
import json
import pathlib
from typing import Any, NamedTuple

from learners_table import shares_by_data, shares_of
from pictures import draw_heat_map, draw_matrix, save

from obd_jax.cli import define_flags, run_main, settings_from_flags
from obd_jax.settings import option
from obd_jax.types import InvalidInputError


class Kind(NamedTuple):
    """A kind of sets.

    title:  of its table.
    column: its name in the picture.
    """

    title: str
    column: str


POOL = "pool"
# By the names of their summaries.
KINDS = {
    POOL: Kind("Sets of `--student=pool`, three seeds", "pool:\nmade for\nany learner"),
    "default": Kind(
        "Default sets, for the kernel student, three seeds",
        "default:\nmade for the\nkernel student",
    ),
    "mlp": Kind(
        "Sets for the papers' MLPs, `--config=transfer` with SDW-PBC, one set of each data set",
        "transfer:\nmade for the\npapers' MLPs",
    ),
    "random": Kind(
        "Random pairs with the teacher's actions, one set of each data set",
        "random pairs,\nthe teacher's\nactions",
    ),
    "coreset": Kind("The coreset, one of each data set", "coreset"),
}

INTRODUCTION = """# One set: every learner on every data set

![Mean share of the teacher's return of learners on sets of every kind](transfer.png)

*Return in percent of the teacher's, mean of nine data sets, of the learners that were trained on
sets of every kind.*

Made by `make results-doc` from the records in `docs/results/studies/one_set`, which hold the hash
of each set's data, its options, seed and versions; do not edit. The commands are in
[one set for any learner](one_set.md#nine-data-sets).

Learners: `mlp-2x256` is a network of two layers of 256, trained for 1,000 steps of Adam (`-long`:
4,000), `papers` the papers' recipe, `papers-ensemble` ten such networks together; the others are of
PyTorch, d3rlpy and scikit-learn (`gp`: Gaussian process, `knn`: nearest neighbours).

Returns in percent of the teacher's, of learners trained on 256 pairs. The mean is over data sets,
with a 95% interval over the seeds of sets where there are several; the last column is the worst of
all sets.
"""


@dataclasses.dataclass(frozen=True)
class DocumentSettings:
    """What is read and written."""

    summaries: str = option(
        "docs/results/studies/one_set", "Folder of the summaries of learners.py."
    )
    out: str = option(
        "docs/one_set_table.md", "Markdown file to write; the pictures lie beside it."
    )


def read(folder: pathlib.Path) -> dict[str, dict[str, Any]]:
    """The summary of every kind.

    Raises:
        InvalidInputError: one is not there.
    """
    for kind in KINDS:
        if not (folder / f"{kind}.json").exists():
            raise InvalidInputError(f"no {folder / kind}.json; learners.py makes it")
    return {kind: json.loads((folder / f"{kind}.json").read_text()) for kind in KINDS}


def run(settings: DocumentSettings) -> None:
    """Write the tables and draw both pictures.

    Raises:
        InvalidInputError: a summary is not there.
    """
    out = pathlib.Path(settings.out)
    summaries = read(pathlib.Path(settings.summaries))
    found = {kind: shares_by_data(summary) for kind, summary in summaries.items()}
    tables = [f"## {KINDS[kind].title}\n\n{shares_of(own)}\n" for kind, own in summaries.items()]
    pool = found[POOL]
    rows = {share.name: [*share.by_data.values()] for share in pool}
    save(draw_heat_map(rows, [*pool[0].by_data]), out.with_name("one_set.png"))
    means = [{share.name: share.mean for share in own} for own in found.values()]
    everywhere = [share.name for share in pool if all(share.name in own for own in means)]
    matrix = {name: [own[name] for own in means] for name in everywhere}
    columns = [kind.column for kind in KINDS.values()]
    save(draw_matrix(matrix, columns), out.with_name("transfer.png"))
    out.write_text("\n".join([INTRODUCTION, *tables]))
    print(f"written to {settings.out}")


def main() -> None:
    """Entry point."""
    run(settings_from_flags(DocumentSettings))


if __name__ == "__main__":
    define_flags(DocumentSettings)
    run_main(main)
