"""A picture of a run: loss and return along distillation."""

import pathlib
from collections.abc import Sequence
from typing import Any

# Rows of results, in words and in every picture.
NAMES = {
    "synthetic": "synthetic pairs",
    "random_real": "random pairs",
    "networks": "networks on the pairs",
}
COLORS = {
    "synthetic": "C3",
    "teacher": "C2",
    "data": "C1",
    "networks": "C4",
    "random_real": "C7",
    "final score": "C0",
}


def draw_curve(
    path: pathlib.Path,
    title: str,
    losses: Sequence[dict[str, Any]],
    returns: Sequence[dict[str, Any]],
    references: dict[str, float],
    unit: str,
    label: str = "synthetic",
) -> None:
    """Draw loss and return against outer steps, with minutes of distillation on top.

    Args:
        path: the PNG file.
        title: title of the figure.
        losses: records with "step", "seconds" and "loss".
        returns: records with "step", "seconds", "return", "low" and "high" (the range of
            students' means).
        references: mean return of each reference row, and the final score, drawn as lines.
        unit: unit of the returns.
        label: label of the returns during distillation.
    """
    # They take a while, and most commands draw nothing.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import StrMethodFormatter

    figure = Figure(figsize=(8, 6), layout="constrained")
    FigureCanvasAgg(figure)
    top, bottom = figure.subplots(2, 1, sharex=True)
    top.plot([r["step"] for r in losses], [r["loss"] for r in losses], lw=0.8, color="C0")
    top.set_yscale("log")
    for axis in (top.yaxis.set_major_formatter, top.yaxis.set_minor_formatter):
        axis(StrMethodFormatter("{x:.3g}"))
    top.set_ylabel("loss")
    if losses and losses[-1]["seconds"] > 0:
        pace = losses[-1]["seconds"] / 60.0 / losses[-1]["step"]
        minutes = top.secondary_xaxis("top", functions=(lambda x: x * pace, lambda x: x / pace))
        minutes.set_xlabel("minutes of distillation")
    steps = [r["step"] for r in returns]
    bottom.fill_between(
        steps, [r["low"] for r in returns], [r["high"] for r in returns], alpha=0.2, lw=0
    )
    bottom.plot(steps, [r["return"] for r in returns], "o-", label=label)
    for name, value in references.items():
        bottom.axhline(value, color=COLORS[name], ls="--", lw=1)
        bottom.annotate(
            f" {name} {value:.1f}",
            (1.0, value),
            xycoords=("axes fraction", "data"),
            color=COLORS[name],
            va="center",
            fontsize="small",
        )
    bottom.set_xlabel("outer steps")
    bottom.set_ylabel(unit)
    if returns:
        bottom.legend(fontsize="small")
    # A file's name may hold $, or bytes that are no UTF-8.
    figure.suptitle(title.encode(errors="replace").decode(), parse_math=False)
    figure.savefig(path, dpi=120)
