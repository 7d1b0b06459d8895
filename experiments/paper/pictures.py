"""Pictures of the papers' table and of many learners; the same numbers make the same bytes."""

import io
import itertools
import pathlib
import textwrap
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from PIL.PngImagePlugin import PngInfo

# Width of a picture [inches], and its pixels per inch: twice the 800 that a page shows.
WIDTH, DPI = 8.0, 200
# Colours that the colour-blind tell apart as well (Okabe and Ito).
BLUE, ORANGE = "#0072B2", "#D55E00"
# Of curves and their markers; those that are one number a place are orange and dashed.
CURVES = ((BLUE, "o"), ("#009E73", "s"), ("#000000", "^"))
# Colours of a file; most are blends at the edges of letters.
COLORS = 64
# Letters of a line of a row's name.
LETTERS = 38
# Height of a line of text [inches].
LINE = 0.23


class Share(NamedTuple):
    """A row's return in percent of the teacher's.

    label:    the row.
    mean:     over data sets.
    interval: of the mean; None: one seed.
    """

    label: str
    mean: float
    interval: tuple[float, float] | None


class Shares(NamedTuple):
    """What the picture of the table shows.

    rows:  of each kind of student, by its title.
    clone: of a policy cloned on all data, in percent of the teacher's; None: it is not known.
    """

    rows: Mapping[str, Sequence[Share]]
    clone: float | None


class Effect(NamedTuple):
    """A difference of returns.

    label:    of what, on which data.
    mean:     over data sets and seeds.
    interval: over seeds; None: one seed.
    """

    label: str
    mean: float
    interval: tuple[float, float] | None


class Curve(NamedTuple):
    """A line of a panel.

    label: of the line.
    x:     [N].
    y:     [N, K]; with several columns the range of these is shaded about their mean.
    """

    label: str
    x: Sequence[float]
    y: np.ndarray


def save(figure: Figure, path: pathlib.Path) -> None:
    """Write a PNG of few colours that holds its words as text too, without date or version."""
    content, info = io.BytesIO(), PngInfo()
    figure.savefig(content, dpi=DPI)
    info.add_text("Description", words(figure))
    colors = Image.open(content).convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)
    colors.save(path, optimize=True, pnginfo=info)


def words(figure: Figure) -> str:
    """All that is written in a figure, a line each."""
    return "\n".join(text.get_text() for text in figure.findobj(Text) if text.get_text())


def words_in(path: pathlib.Path) -> str:
    """All that is written in a picture of `save`."""
    with Image.open(path) as picture:
        return picture.info["Description"]


def blank(height: float) -> Figure:
    """An empty figure of that height [inches]."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def draw_shares(shares: Shares) -> Figure:
    """A dot for every row with its interval, a panel for every kind of student."""
    counts = [len(rows) for rows in shares.rows.values()]
    figure = blank(LINE * (sum(counts) + 2 * len(counts) + 3))
    axes = figure.subplots(len(counts), 1, sharex=True, squeeze=False, height_ratios=counts)[:, 0]
    for axis, (title, rows) in zip(axes, shares.rows.items(), strict=True):
        axis.set_title(title, loc="left", fontsize=11, fontweight="bold")
        for place, row in enumerate(rows):
            _dot(axis, place, row)
        axis.set(ylim=(len(rows) - 0.4, -0.6), yticks=range(len(rows)))
        axis.set_yticklabels([textwrap.fill(row.label, LETTERS) for row in rows])
        axis.tick_params(axis="y", length=0, labelsize=9)
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.axvline(100, color="black", lw=1.2, zorder=1)
        if shares.clone is not None:
            axis.axvline(shares.clone, color=ORANGE, lw=1.2, ls="--", zorder=1)
    _name_line(axes[0], 100, "teacher 100", "black")
    if shares.clone is not None:
        _name_line(axes[0], shares.clone, f"BC on all data {shares.clone:.0f}", ORANGE)
    ends = [end for rows in shares.rows.values() for row in rows for end in row.interval or ()]
    axes[-1].set(xlim=(min(0, *ends), max(103, *ends)) if ends else (0, 103))
    axes[-1].set(xlabel="mean return over nine data sets, % of the teacher's")
    return figure


def _dot(axis: Axes, place: int, row: Share) -> None:
    if row.interval:
        axis.plot(row.interval, [place, place], color=BLUE, lw=2, solid_capstyle="butt")
    axis.plot(row.mean, place, "o", color=BLUE, ms=6)
    ends = f" [{row.interval[0]:.0f}, {row.interval[1]:.0f}]" if row.interval else ""
    axis.annotate(
        f"{row.mean:.0f}{ends}",
        (1.03, place),
        xycoords=axis.get_yaxis_transform(),
        va="center",
        fontsize=9,
    )


def _name_line(axis: Axes, x: float, name: str, color: str) -> None:
    axis.annotate(
        name,
        (x, 1),
        xytext=(0, 20),
        xycoords=axis.get_xaxis_transform(),
        textcoords="offset points",
        ha="center",
        va="bottom",
        color=color,
    )


def draw_effects(effects: Mapping[str, Sequence[Effect]]) -> Figure:
    """Differences of returns about 0, a panel for every kind of student."""
    counts = [len(rows) for rows in effects.values()]
    figure = blank(LINE * (sum(counts) + 2 * len(counts) + 3))
    axes = figure.subplots(len(counts), 1, sharex=True, squeeze=False, height_ratios=counts)[:, 0]
    for axis, (title, rows) in zip(axes, effects.items(), strict=True):
        axis.set_title(title, loc="left", fontsize=11, fontweight="bold")
        for place, row in enumerate(rows):
            color = ORANGE if row.interval is None else BLUE
            text = f"{row.mean:+.1f}, one seed"
            if row.interval is not None:
                axis.plot(row.interval, [place, place], color=BLUE, lw=2, solid_capstyle="butt")
                text = f"{row.mean:+.1f} [{row.interval[0]:+.1f}, {row.interval[1]:+.1f}]"
            axis.plot(row.mean, place, "o", color=color, ms=6)
            where = axis.get_yaxis_transform()
            axis.annotate(text, (1.03, place), xycoords=where, va="center", fontsize=9)
        axis.set(ylim=(len(rows) - 0.4, -0.6), yticks=range(len(rows)))
        axis.set_yticklabels([row.label for row in rows])
        axis.tick_params(axis="y", length=0, labelsize=9)
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.axvline(0, color="black", lw=1.2, zorder=1)
    axes[-1].set(xlabel="return with density weights minus return without")
    return figure


def draw_curves(panels: Mapping[str, Sequence[Curve]], x: str, y: str) -> Figure:
    """Curves over a logarithmic axis, side by side, with a line at the teacher's 100.

    Args:
        panels: curves of each, by title.
        x: name of the axis.
        y: name of the other.
    """
    figure = blank(LINE * 14)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, (title, curves) in zip(axes, panels.items(), strict=True):
        styles = iter(CURVES)
        for curve in curves:
            if curve.y.shape[1] == 1:
                axis.plot(curve.x, curve.y[:, 0], "D--", color=ORANGE, ms=3, label=curve.label)
                continue
            color, marker = next(styles)
            axis.plot(curve.x, curve.y.mean(1), color=color, marker=marker, ms=4, label=curve.label)
            axis.fill_between(curve.x, curve.y.min(1), curve.y.max(1), color=color, alpha=0.15)
        ticks = sorted({place for curve in curves for place in curve.x})
        axis.axhline(100, color="black", lw=1.2, zorder=1)
        axis.set_title(title, loc="left", fontsize=11, fontweight="bold")
        axis.set(xscale="log", xlabel=x)
        axis.set_xticks(ticks, [str(tick) for tick in ticks], fontsize=8)
        axis.minorticks_off()
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set(ylabel=y, ylim=(0, None))
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=4, frameon=False
    )
    return figure


def draw_heat_map(rows: Mapping[str, Sequence[float]], columns: Sequence[str]) -> Figure:
    """Values as colours, each printed in its cell, and the mean of every row.

    Args:
        rows: values of each row.
        columns: data sets, as `environment-kind`.
    """
    values = np.array([*rows.values()])
    figure = blank(LINE * (len(values) + 4))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1, len(columns)])
    _cells(left, values.mean(axis=1, keepdims=True), ["mean"], "bold")
    kinds = [name.partition("-")[2] for name in columns]
    _cells(right, values, [kind.replace("-", "\n") for kind in kinds], "normal")
    left.set_yticks(range(len(values)), rows)
    numbered = enumerate(name.partition("-")[0] for name in columns)
    for name, group in itertools.groupby(numbered, key=lambda each: each[1]):
        places = [place for place, _ in group]
        if places[0]:
            right.axvline(places[0] - 0.5, color="white", lw=4)
        right.annotate(
            name,
            (float(np.mean(places)), 1),
            xytext=(0, 36),
            xycoords=right.get_xaxis_transform(),
            textcoords="offset points",
            ha="center",
            fontweight="bold",
        )
    return figure


def draw_matrix(rows: Mapping[str, Sequence[float]], columns: Sequence[str]) -> Figure:
    """Values as colours, each printed in its cell.

    Args:
        rows: values of each row.
        columns: their names, with line breaks where they are long.
    """
    figure = blank(LINE * (len(rows) + 4))
    axis = figure.subplots()
    _cells(axis, np.array([*rows.values()]), columns, "normal")
    axis.set_yticks(range(len(rows)), rows)
    return figure


def _cells(axis: Axes, values: np.ndarray, names: Sequence[str], weight: str) -> None:
    # Black is read on all colours up to 100.
    axis.imshow(values, cmap="Blues", vmin=0, vmax=140, aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        axis.annotate(f"{value:.0f}", (j, i), ha="center", va="center", fontweight=weight)
    axis.set_xticks(range(len(names)), names)
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
