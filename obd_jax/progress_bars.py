"""Progress bars on a terminal, below the lines that are printed meanwhile."""

import atexit
import functools
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Bar:
    """A bar on stderr from its first report until all is done; several are shown at a time."""

    def __init__(self, label: str):
        self._label = label
        self._task: TaskID | None = None

    def __call__(self, done: int, total: int, eta: float | None = None, note: str = "") -> None:
        """Report `done` of `total`; `eta` in seconds replaces rich's own estimate."""
        bars = _bars()
        if self._task is None:
            bars.start()
            self._task = bars.add_task(self._label, total=total, left=None, note="")
        bars.update(self._task, completed=done, total=total, left=eta, note=note)
        if done >= total:
            bars.remove_task(self._task)
            self._task = None
            if not bars.tasks:
                bars.stop()


@functools.cache
def _bars() -> "Progress":
    """All bars of the process; rich allows one live display."""
    # Here, as rich takes a tenth of a second to import.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn
    from rich.text import Text

    class TimeToGo(ProgressColumn):
        def render(self, task):
            left = task.fields["left"]
            left = task.time_remaining if left is None else left
            return Text("" if left is None else f"{clock(left)} to go")

    bars = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeToGo(),
        TextColumn("{task.fields[note]}", markup=False),
        console=Console(file=sys.stderr),
        refresh_per_second=4,
        transient=True,
    )
    atexit.register(bars.stop)  # An error leaves bars behind, and the cursor hidden.
    return bars


def clock(seconds: float) -> str:
    """Minutes and seconds, such as 1:05."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d}"
