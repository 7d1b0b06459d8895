"""Return against the number of pairs on the shared rollout sets: a table and a picture.

    python experiments/pairs.py --students=1 --episodes=20 --seeds=0,1,2 --picture=docs/pairs.png

All flags of `run_sdw.py` hold for every cell. A cell that is in --cells already is read, not
repeated.
"""

import pathlib
from typing import Any

import jax
import numpy as np
from absl import flags
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scoring import score_teacher
from setup_run import prepare
from shared_sets import PAPER
from sweep import base_config, cached, changed, define_cell_flags

from obd_jax.command_line import run_main

SIZES = (8, 16, 32, 64, 128, 256, 512, 1024)
# Normalised returns of Av-PBC on D4RL's medium-replay sets, 16 to 256 pairs (Lei et al. 2024),
# the only curves over the number of pairs that the papers show.
PAPER_SIZES = (16, 32, 64, 128, 256)
PAPER_CURVES = {
    "halfcheetah": (6.9, 15.3, 23.8, 33.2, 35.9),
    "hopper": (27.3, 29.9, 32.3, 38.1, 40.9),
    "walker2d": (14.8, 21.8, 34.0, 50.0, 55.0),
}


def draw(curves: dict[str, dict[str, Any]], sizes: list[int], path: pathlib.Path) -> None:
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


def main() -> None:
    """Entry point."""
    base, sizes = base_config(), [int(size) for size in flags.FLAGS.sizes]
    curves = {}
    for name in flags.FLAGS.sets:
        print(f"\n{name}\n{'pairs':>6}{'return':>8}{'worst':>7}  {'per seed':<22}{'seconds':>8}")
        setup = prepare(changed(base, name, {}))
        with jax.default_matmul_precision(base.precision):
            teacher = score_teacher(setup).mean()
        returns = np.zeros((len(sizes), len(flags.FLAGS.seeds)))
        for i, size in enumerate(sizes):
            results = [
                cached(
                    changed(base, name, {"seed": int(seed), "pairs": size}),
                    name,
                    pathlib.Path(flags.FLAGS.cells),
                )
                for seed in flags.FLAGS.seeds
            ]
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
    draw(curves, sizes, pathlib.Path(flags.FLAGS.picture))
    print(f"\nwritten to {flags.FLAGS.picture}")


if __name__ == "__main__":
    define_cell_flags(list(PAPER))
    flags.DEFINE_list("sizes", [str(size) for size in SIZES], "Numbers of pairs.")
    flags.DEFINE_string("picture", "runs/pairs.png", "Picture to write.")
    run_main(main)
