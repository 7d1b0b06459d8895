r"""Judge distilled sets by many learners, most of which no set was made for.

    python experiments/paper/learners.py --sets=runs/hopper,runs/other/distilled.npz \
        --references=random,coreset

Each learner is trained on each set and rolled out: the package's own, scikit-learn's, and those in
PyTorch and of d3rlpy if these are installed. A record that is in --out is read, not made again;
table.md and summary.json there are those of the last command.
"""

import pathlib

from judged_sets import Problems, read_sets, references
from judging import Json, LearnersSettings, library_versions, records_of, teacher_record
from learners_table import shares_of, summary_of, table_of

from obd_jax import artefacts, runs
from obd_jax.cli import define_flags, run_main, settings_from_flags
from obd_jax.reporting import CONSOLE, Reporter
from obd_jax.settings import OptionError, to_options


def run(settings: LearnersSettings, reporter: Reporter = CONSOLE) -> Json:
    """Make the records that are missing, write table and summary, and print the table.

    Returns:
        The summary.

    Raises:
        InvalidInputError: a set that cannot be judged, or a record that was made with other
            settings.
    """
    if not settings.sets:
        raise OptionError("{sets} is required: run folders, or their distilled.npz")
    out = pathlib.Path(settings.out)
    sets = read_sets(settings.sets)
    if settings.references:
        made = references(sets[0], settings.references, out / "references", reporter)
        sets = read_sets([*settings.sets, *made])
    problems: Problems = {}
    teachers = {each.label: teacher_record(each, settings, problems, reporter) for each in sets}
    problems.clear()
    records = {name: records_of(name, sets, settings, reporter) for name in settings.learners}
    about = {
        each.label: {
            "path": str(each.path),
            "sha256": each.sha256,
            "pairs": len(each.distilled.synthetic.actions),
            "environment": each.environment.name,
            "data": each.data,
            "card": {name: each.distilled.card.get(name) for name in ("config", "provenance")},
        }
        for each in sets
    }
    summary = {
        **summary_of(about, teachers, records),
        "config": to_options(settings),
        "provenance": artefacts.provenance(libraries=library_versions(settings.learners)),
    }
    out.mkdir(parents=True, exist_ok=True)
    runs.write_json(out / "summary.json", summary)
    table = table_of(summary)
    if len({each.data for each in sets}) > 1 and all(
        "mean" in t for t in summary["teacher"].values()
    ):
        table += f"\n\n{shares_of(summary)}"
    (out / "table.md").write_text(f"{table}\n")
    print(f"{table}\n\nwritten to {out}")
    return summary


def main() -> None:
    """Entry point."""
    run(settings_from_flags(LearnersSettings))


if __name__ == "__main__":
    define_flags(LearnersSettings)
    run_main(main)
