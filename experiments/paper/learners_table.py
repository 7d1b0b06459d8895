"""What learners have learned from sets: a summary in plain values, and a table of it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from obd_jax.evaluation import seeds_interval

Json = dict[str, Any]
# Of each learner, on each set: its record, as of `judging.records_of`.
Results = Mapping[str, Mapping[str, Json]]


def row_of(record: Json, teacher: float | None) -> Json:
    """A learner on a set: mean, worst seed and share of the teacher's mean return, and all returns.

    Args:
        record: with "returns" [K, E], or with "failed" or "skipped".
        teacher: its mean return; None: it is not known.
    """
    if "returns" not in record:
        return {name: record[name] for name in ("failed", "skipped") if name in record}
    returns = np.array(record["returns"])
    seeds, mean = returns.mean(axis=1), float(returns.mean())
    return {
        "mean": mean,
        "worst_seed": float(seeds.min()),
        "per_seed": seeds.tolist(),
        "share_of_teacher": None if not teacher else mean / teacher,
        "returns": record["returns"],
        "seconds": record["seconds"],
        "warnings": record.get("warnings", []),
    }


def summary_of(sets: Mapping[str, Json], teachers: Mapping[str, Json], results: Results) -> Json:
    """The summary.

    Args:
        sets: what is known of each set, by label.
        teachers: of each set: as a learner's record.
        results: of the learners.
    """
    best = {label: row_of(record, None) for label, record in teachers.items()}
    return {
        "sets": dict(sets),
        "teacher": best,
        "learners": {
            learner: {
                label: row_of(record, best[label].get("mean")) for label, record in own.items()
            }
            for learner, own in results.items()
        },
    }


def table_of(summary: Json) -> str:
    """The summary as a Markdown table: mean of all episodes, and of each seed's where they differ.

    The last rows: the mean of the learners that have a return on every set, the teacher, and that
    mean as a share of the teacher's.
    """
    labels, learners = list(summary["sets"]), summary["learners"]
    lines = [f"| learner | {' | '.join(labels)} |", "|---" * (len(labels) + 1) + "|"]
    lines += [
        f"| {name} | {' | '.join(_cell(own[label]) for label in labels)} |"
        for name, own in learners.items()
    ]
    complete = [own for own in learners.values() if all("mean" in own[label] for label in labels)]
    means = {
        label: float(np.mean([own[label]["mean"] for own in complete])) if complete else None
        for label in labels
    }
    best = {label: summary["teacher"][label].get("mean") for label in labels}
    shares = {
        label: means[label] / best[label] if best[label] and means[label] is not None else None
        for label in labels
    }
    whole = f"mean of the {len(complete)} learners with a return on every set"
    lines += [
        _line(whole, (means[label] for label in labels), "{:.1f}"),
        _line("teacher", (best[label] for label in labels), "{:.1f}"),
        _line("share of the teacher", (shares[label] for label in labels), "{:.0%}"),
    ]
    notes = [
        f"- {name}{where}: {what} {row[what]}"
        for name, own in [*learners.items(), ("teacher", summary["teacher"])]
        for where, row in _distinct({label: own[label] for label in labels}).items()
        for what in ("skipped", "failed")
        if what in row
    ]
    return "\n".join([*lines, *([""] if notes else []), *notes])


class Share(NamedTuple):
    """A learner's share of the teacher in percent.

    name:     the learner.
    mean:     over data sets.
    interval: of the mean, over seeds of sets; None: one seed.
    by_data:  mean of each data set.
    worst:    of all sets.
    """

    name: str
    mean: float
    interval: tuple[float, float] | None
    by_data: dict[str, float]
    worst: float


def shares_by_data(summary: Json) -> list[Share]:
    """Each learner's share of the teacher over several data sets; shares fall by the mean.

    A learner whose training fails on a set has 0 there; one that skips a set is not in the list.
    """
    by_data: dict[str, list[str]] = {}
    for label, about in summary["sets"].items():
        by_data.setdefault(about["data"], []).append(label)
    found = []
    for name, own in summary["learners"].items():
        if any("skipped" in own[label] for label in summary["sets"]):
            continue
        best = summary["teacher"]
        shares = [
            np.array([100 * own[label].get("mean", 0.0) / best[label]["mean"] for label in labels])
            for labels in by_data.values()
        ]
        means = {data: float(one.mean()) for data, one in zip(by_data, shares, strict=True)}
        worst = min(float(one.min()) for one in shares)
        mean = float(np.mean([*means.values()]))
        found.append(Share(name, mean, seeds_interval(shares), means, worst))
    return sorted(found, key=lambda share: -share.mean)


def shares_of(summary: Json) -> str:
    """The shares of `shares_by_data` as a Markdown table.

    Columns: mean over data sets with the interval over seeds of sets (`seeds_interval`), each data
    set, and the worst of all sets.
    """
    names = dict.fromkeys(about["data"] for about in summary["sets"].values())
    lines = [
        f"| learner, % of the teacher | mean | {' | '.join(names)} | worst set |",
        "|---" * (len(names) + 3) + "|",
    ]
    for name, mean, interval, by_data, worst in shares_by_data(summary):
        ends = f" [{interval[0]:.0f}, {interval[1]:.0f}]" if interval else ""
        cells = [f"{mean:.0f}{ends}", *(f"{share:.0f}" for share in by_data.values())]
        lines.append(f"| {name} | {' | '.join(cells)} | {round(worst)} |")
    return "\n".join(lines)


def _cell(row: Json) -> str:
    if "mean" not in row:
        return "fails" if "failed" in row else "skipped"
    each = row["per_seed"]
    shown = f" ({' '.join(f'{value:.0f}' for value in each)})" if len(each) > 1 else ""
    return f"{row['mean']:.1f}{shown}"


def _line(name: str, values: Any, form: str) -> str:
    shown = ("-" if value is None else form.format(value) for value in values)
    return f"| {name} | {' | '.join(shown)} |"


def _distinct(rows: Mapping[str, Json]) -> dict[str, Json]:
    """Rows with where they are from; if they are all the same, one of them from everywhere."""
    values = list(rows.values())
    if all(row == values[0] for row in values):
        return {"": values[0]}
    return {f" on {label}": row for label, row in rows.items()}
