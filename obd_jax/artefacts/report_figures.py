"""Figures of a run's report, as the bytes of PNG files."""

import io
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from obd_jax.artefacts.curve import COLORS, NAMES

# Actions of more dimensions than these are not drawn.
MOST_ACTIONS = 12
_SIZE = (4.8, 3.3)


def _png(draw: Callable[[Any], None], size: tuple[float, float] = _SIZE) -> bytes:
    # They take a while, and most commands draw nothing.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=160)
    return content.getvalue()


def loss_figure(losses: Sequence[Mapping[str, Any]]) -> bytes:
    """Loss against outer steps.

    Args:
        losses: records with "step" and "loss".
    """

    def draw(figure: Any) -> None:
        from matplotlib.ticker import StrMethodFormatter

        axis = figure.subplots()
        values = np.array([record["loss"] for record in losses])
        axis.plot([record["step"] for record in losses], values, lw=1, color="C0")
        if (values > 0).all():
            axis.set_yscale("log")
            for form in (axis.yaxis.set_major_formatter, axis.yaxis.set_minor_formatter):
                form(StrMethodFormatter("{x:.3g}"))
        axis.set_xlabel("outer steps")
        axis.set_ylabel("loss")

    return _png(draw)


def returns_figure(
    returns: Sequence[Mapping[str, Any]], references: Mapping[str, float], unit: str
) -> bytes:
    """Return against outer steps, with reference rows as lines.

    Args:
        returns: records with "step", "return", "low" and "high" (the range of students' means).
        references: name -> mean return.
        unit: what the returns are.
    """

    def draw(figure: Any) -> None:
        axis = figure.subplots()
        steps = [record["step"] for record in returns]
        low, high = ([record[name] for record in returns] for name in ("low", "high"))
        axis.fill_between(steps, low, high, alpha=0.2, lw=0, color="C0")
        means = [record["return"] for record in returns]
        axis.plot(steps, means, "o-", ms=4, color="C0", label="students")
        for name, value in references.items():
            label = f"{NAMES.get(name, name)} {value:.1f}"
            axis.axhline(value, color=COLORS.get(name, "C5"), ls="--", lw=1.2, label=label)
        axis.set_xlabel("outer steps")
        axis.set_ylabel(unit)
        figure.legend(loc="outside upper center", ncols=2, fontsize="small", frameon=False)

    return _png(draw)


def states_figure(
    data: np.ndarray, synthetic: np.ndarray, explained: np.ndarray, weights: np.ndarray | None
) -> bytes:
    """Synthetic states among those of the data, in a plane.

    Args:
        data: [B, 2].
        synthetic: [N, 2].
        explained: [2] share of the variance along each axis.
        weights: [B] of the data's states, not negative; None: they have one colour.
    """

    def draw(figure: Any) -> None:
        from matplotlib.colors import LogNorm

        axis = figure.subplots()
        if weights is None or not (weights > 0).any():
            axis.scatter(*data.T, s=4, lw=0, color="C7", alpha=0.5, label="data")
        else:
            low, high = np.quantile(weights[weights > 0], [0.01, 0.99])
            scale = LogNorm(low, max(high, low * 1.01))
            order = np.argsort(weights)  # Rare states, which weigh more, on top.
            x, y = data[order].T
            colors = np.maximum(weights[order], low)
            shown = axis.scatter(
                x, y, s=4, lw=0, c=colors, norm=scale, cmap="viridis_r", label="data"
            )
            figure.colorbar(shown, ax=axis, label="density weight", extend="both")
        axis.scatter(
            *synthetic.T, s=18, color=COLORS["synthetic"], ec="white", lw=0.6, label="synthetic"
        )
        axis.set_xlabel(f"component 1 ({explained[0]:.0%} of the variance)")
        axis.set_ylabel(f"component 2 ({explained[1]:.0%})")
        figure.legend(
            loc="outside upper center", ncols=2, fontsize="small", frameon=False, markerscale=1.5
        )

    return _png(draw, (4.8, 4.0))


def actions_figure(actions: Mapping[str, np.ndarray]) -> bytes:
    """Histograms of every dimension of actions, of the first twelve if there are more.

    Args:
        actions: name -> [B, A].
    """
    size = min(next(iter(actions.values())).shape[1], MOST_ACTIONS)
    columns = min(size, 3)
    rows = math.ceil(size / columns)

    def draw(figure: Any) -> None:
        axes = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
        for i, axis in enumerate(axes):
            axis.set_visible(i < size)
            if i >= size:
                continue
            edges = np.histogram_bin_edges(np.concatenate([a[:, i] for a in actions.values()]), 30)
            for name, numbers in actions.items():
                counts, _ = np.histogram(numbers[:, i], edges)
                axis.stairs(
                    counts / max(len(numbers), 1),
                    edges,
                    color=COLORS.get(name, "C5"),
                    lw=1.2,
                    label=name if i == 0 else None,
                )
            axis.set_title(f"action {i}", fontsize="small")
            axis.tick_params(labelsize="small")
        figure.supylabel("share", fontsize="small")
        figure.legend(loc="outside upper center", ncols=3, fontsize="small", frameon=False)

    return _png(draw, (4.8, 1.0 + 1.5 * rows))


def errors_figure(errors: Mapping[str, Sequence[float]]) -> bytes:
    """Errors of actions by parts of the states, the rarest first.

    Args:
        errors: name -> [parts].
    """

    def draw(figure: Any) -> None:
        axis = figure.subplots()
        for name, values in errors.items():
            parts = np.arange(1, len(values) + 1)
            axis.plot(
                parts, values, "o-", ms=4, color=COLORS.get(name, "C5"), label=NAMES.get(name, name)
            )
            axis.set_xticks(parts)
        axis.set_ylim(bottom=0)
        axis.set_xlabel("tenth of the states, from rare to common")
        axis.set_ylabel("mean squared error")
        figure.legend(loc="outside upper center", ncols=3, fontsize="small", frameon=False)

    return _png(draw)
