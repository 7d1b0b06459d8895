"""A picture of a run: loss and return along distillation."""

import pathlib
from collections.abc import Sequence
from typing import Any

_REFERENCES = {"teacher": "C2", "data": "C1", "random_real": "C7"}


def draw_curve(
    path: pathlib.Path,
    title: str,
    losses: Sequence[dict[str, Any]],
    returns: Sequence[dict[str, Any]],
    references: dict[str, float],
    unit: str,
) -> None:
    """Draw loss and return against outer steps and against wall-clock.

    Args:
        path: of the PNG file.
        title: of the figure.
        losses: records with "step", "seconds" and "loss".
        returns: records with "step", "seconds", "return", "low" and "high" (the range of
            students' means).
        references: mean return of each reference row, drawn as lines.
        unit: what the returns are.
    """
    # They take a while, and most commands draw nothing.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 2, sharey="row", sharex="col")
    scales = (("step", 1.0, "outer steps"), ("seconds", 60.0, "distillation, minutes"))
    for column, (axis, scale, label) in enumerate(scales):
        top, bottom = axes[0, column], axes[1, column]
        top.plot([r[axis] / scale for r in losses], [r["loss"] for r in losses], lw=0.8)
        top.set_yscale("log")
        at = [r[axis] / scale for r in returns]
        bottom.fill_between(
            at, [r["low"] for r in returns], [r["high"] for r in returns], alpha=0.2, lw=0
        )
        bottom.plot(at, [r["return"] for r in returns], "o-", label="synthetic")
        for name, value in references.items():
            bottom.axhline(value, color=_REFERENCES[name], ls="--", label=f"{name} {value:.1f}")
        bottom.set_xlabel(label)
    axes[0, 0].set_ylabel("objective")
    axes[1, 0].set_ylabel(f"{unit}, range of students")
    axes[1, 0].legend(fontsize="small")
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
