"""Loss and return of several runs against wall-clock, and when each reaches the first one's loss.

    python benchmarks/time_to_quality.py --out=docs/time_to_quality.png \
        --runs=paper=runs/paper@0.47,mlp=runs/mlp,kernel=runs/kernel

Runs are folders of run_sdw.py with the same data, objective and --value_scale, whose losses can be
compared. `@SECONDS` replaces the clock of a run that did not have its core to itself by so many
seconds a step.
"""

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from obd_jax.cli import define_flags, run_main, settings_from_flags
from obd_jax.settings import option
from obd_jax.types import InvalidInputError

SAME = (
    "dataset",
    "dataset_path",
    "source",
    "data_rows",
    "teacher",
    "value_scale",
    "density",
    "temperature",
    "floor_quantile",
    "state_noise",
    "early_steps",
    "least_return",
    "seed",
)


@dataclasses.dataclass(frozen=True)
class Config:
    """What is compared; each field is a flag of the same name."""

    runs: str | None = option(None, "name=folder[@seconds], separated by commas. Required.")
    out: str | None = option(None, "PNG file of the picture; absent: none.")


def read(entry: str) -> dict[str, Any]:
    """A run's name, settings, and records with seconds."""
    name, _, rest = entry.partition("=")
    folder, _, per_step = rest.partition("@")
    path = pathlib.Path(folder)
    if not rest or not (path / "results.json").exists():
        raise InvalidInputError(f"--runs takes name=folder of complete runs, got {entry!r}")
    lines = (path / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    if per_step:
        rows = [{**row, "seconds": row["step"] * float(per_step)} for row in rows]
    results = json.loads((path / "results.json").read_text())
    return {"name": name, "results": results, "rows": rows}


def smoothed(losses: list[dict[str, Any]], width: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Seconds, and the mean of a loss and the four before it."""
    values = np.array([row["loss"] for row in losses])
    means = [values[max(0, i + 1 - width) : i + 1].mean() for i in range(len(values))]
    return np.array([row["seconds"] for row in losses]), np.array(means)


def run(config: Config) -> None:
    """Print the table and draw the picture."""
    if config.runs is None:
        raise InvalidInputError("--runs is required")
    found = [read(entry) for entry in config.runs.split(",")]
    first = found[0]["results"]["config"]
    for each in found[1:]:
        other = each["results"]["config"]
        different = [key for key in SAME if other[key] != first[key]]
        if each["results"]["objective"] != found[0]["results"]["objective"]:
            different.append("objective")
        if different:
            raise InvalidInputError(f"{each['name']} differs in {', '.join(different)}")

    reference = None
    figure = Figure(figsize=(7, 7), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True)
    print("| run | steps | seconds | loss | return | reaches the first's loss after | speed-up |")
    print("|---|---|---|---|---|---|---|")
    for each in found:
        seconds, losses = smoothed([row for row in each["rows"] if "loss" in row])
        returns = [row for row in each["rows"] if "return" in row]
        if reference is None:
            reference = (losses[-1], seconds[-1])
        below_reference = np.flatnonzero(losses <= reference[0])
        reached = seconds[below_reference[0]] if len(below_reference) else np.inf
        final = each["results"]["returns"]["synthetic"]["mean"]
        print(
            f"| {each['name']} | {each['results']['outer_steps']:,} | {seconds[-1]:.0f} "
            f"| {losses[-1]:.3f} | {final:.1f} | {reached:.1f} s | {reference[1] / reached:.0f} |"
        )
        above.plot(seconds, losses, label=each["name"])
        below.plot([row["seconds"] for row in returns], [row["return"] for row in returns], "o-")
    above.set_yscale("log")
    above.set_ylabel("objective")
    above.legend()
    below.set_ylabel("normalised return of students")
    below.set_xlabel("seconds of distillation")
    below.set_xscale("symlog", linthresh=1.0)
    below.set_xlim(left=0)
    if config.out is not None:
        figure.savefig(config.out, dpi=110)
        print(f"written to {config.out}")


def main() -> None:
    """Entry point."""
    run(settings_from_flags(Config))


if __name__ == "__main__":
    define_flags(Config)
    run_main(main)
