"""A picture of distributions side by side."""

import pathlib
from collections.abc import Mapping

import numpy as np


def draw_histograms(
    path: pathlib.Path, title: str, distributions: Mapping[str, np.ndarray]
) -> None:
    """Draw a histogram of each array of numbers as a PNG file.

    Args:
        path: of the file.
        title: of the figure.
        distributions: label -> numbers [n].
    """
    # They take a while, and most commands draw nothing.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * max(len(distributions), 1), 3), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, max(len(distributions), 1), squeeze=False)[0]
    for axis, (label, numbers) in zip(axes, distributions.items(), strict=False):
        axis.hist(numbers, bins=50)
        axis.set_xlabel(label)
        axis.set_ylabel("episodes")
    # A file's name may hold $, or bytes that are no UTF-8.
    figure.suptitle(title.encode(errors="replace").decode(), parse_math=False)
    figure.savefig(path, dpi=120)
