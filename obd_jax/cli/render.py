"""Show a distilled set's student next to the teacher, in a GIF.

obd-jax render --path=runs/hopper/distilled.npz --out=pictures
"""

import os
import sys

if sys.platform == "linux":  # MuJoCo looks once, when it is imported.
    os.environ.setdefault("MUJOCO_GL", "egl")

from obd_jax.cli.flags import define_flags, settings_from_flags
from obd_jax.cli.main import run_main
from obd_jax.pipeline.render import RenderSettings, render


def main() -> None:
    """Render and say what was written."""
    settings = settings_from_flags(RenderSettings)
    earned = render(settings)
    for name, values in earned.items():
        print(f"{name}: {' '.join(f'{value:.0f}' for value in values)} earned")
    print(f"written: {settings.out}/episodes.gif")


def start(about: str | None = None) -> None:
    """Run the command; `about` is the text of --help in place of this module's docstring."""
    define_flags(RenderSettings)
    run_main(main, about=about or __doc__)
