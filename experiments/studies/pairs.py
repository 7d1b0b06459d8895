r"""Return against the number of pairs on the shared rollout sets: a table and a picture.

    python experiments/studies/pairs.py --students=1 --episodes=20 --seeds=0,1,2 \
        --picture=docs/pairs.png

All flags of `run_sdw.py` hold for every cell. A cell that is in --cells already is read, not
repeated.
"""

import dataclasses
import pathlib
from typing import Any

import numpy as np
from base_settings import base_settings
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from shared_cells import CellSettings, results_on
from shared_sets import options_on
from trials import teacher_return

from obd_jax.cli import define_flags, run_main, settings_from_flags
from obd_jax.evaluation import FINAL_SEED
from obd_jax.pipeline import RunSettings, load_problem
from obd_jax.reporting import CONSOLE
from obd_jax.settings import option, with_options

# Normalised returns of Av-PBC on D4RL's medium-replay sets, 16 to 256 pairs (Lei et al. 2024),
# the only curves over the number of pairs that the papers show.
PAPER_SIZES = (16, 32, 64, 128, 256)
PAPER_CURVES = {
    "halfcheetah": (6.9, 15.3, 23.8, 33.2, 35.9),
    "hopper": (27.3, 29.9, 32.3, 38.1, 40.9),
    "walker2d": (14.8, 21.8, 34.0, 50.0, 55.0),
}


@dataclasses.dataclass(frozen=True)
class PairsSettings(CellSettings):
    """Which cells, of how many pairs, and what is drawn of them."""

    sizes: tuple[int, ...] = option((8, 16, 32, 64, 128, 256, 512, 1024), "Numbers of pairs.")
    picture: str = option("runs/pairs.png", "Picture to write.")


def draw(curves: dict[str, dict[str, Any]], sizes: tuple[int, ...], path: pathlib.Path) -> None:
    """One panel per set: our seeds, their mean, the teacher, and the paper's curve on D4RL."""
    figure = Figure(figsize=(4 * len(curves), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(curves), squeeze=False)
    for axes, (name, curve) in zip(panels[0], curves.items(), strict=True):
        environment = name.split("-")[0]
        axes.fill_between(sizes, curve["returns"].min(1), curve["returns"].max(1), alpha=0.2)
        axes.plot(sizes, curve["returns"].mean(1), marker="o", label="kernel student")
        axes.axhline(curve["teacher"], color="black", linewidth=1, label="teacher")
        axes.axhline(0.9 * curve["teacher"], color="black", linewidth=1, linestyle=":")
        axes.plot(
            PAPER_SIZES,
            PAPER_CURVES[environment],
            marker="s",
            linestyle="--",
            label=f"Av-PBC, D4RL {environment}-medium-replay",
        )
        axes.set(xscale="log", xlabel="pairs", ylabel="normalised return", title=name)
        axes.set_xticks(sizes, labels=[str(size) for size in sizes], minor=False)
        axes.minorticks_off()
        axes.legend(fontsize=7)
    figure.savefig(path, dpi=120)


def run(base: RunSettings, pairs: PairsSettings) -> None:
    """Run the cells that are missing, print the table and draw the picture."""
    sizes, curves = pairs.sizes, {}
    for name in pairs.sets:
        print(f"\n{name}\n{'pairs':>6}{'return':>8}{'worst':>7}  {'per seed':<22}{'seconds':>8}")
        settings = with_options(base, **options_on(name, pairs.data))
        teacher = teacher_return(settings, load_problem(settings, CONSOLE), FINAL_SEED)
        returns = np.zeros((len(sizes), len(pairs.seeds)))
        for i, size in enumerate(sizes):
            results = results_on(base, name, {"pairs": size}, pairs)
            returns[i] = [result["mean"] for result in results]
            print(
                f"{size:>6}{returns[i].mean():>8.1f}"
                f"{min(result['worst_episode'] for result in results):>7.0f}"
                f"  {' '.join(f'{value:.1f}' for value in returns[i]):<22}"
                f"{max(result['seconds'] for result in results):>8.1f}",
                flush=True,
            )
        enough = [n for n, row in zip(sizes, returns, strict=True) if row.mean() >= 0.9 * teacher]
        smallest = enough[0] if enough else f"more than {sizes[-1]}"
        print(f"teacher {teacher:.1f}; smallest N with 90% of it: {smallest}")
        curves[name] = {"returns": returns, "teacher": teacher}
    draw(curves, sizes, pathlib.Path(pairs.picture))
    print(f"\nwritten to {pairs.picture}")


def main() -> None:
    """Entry point."""
    pairs = settings_from_flags(PairsSettings)
    run(base_settings(), pairs)


if __name__ == "__main__":
    define_flags(RunSettings)
    define_flags(PairsSettings)
    run_main(main)
