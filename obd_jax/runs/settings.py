"""Options of a run itself."""

import dataclasses
import time

from obd_jax.artefacts import WRITERS, check_writers
from obd_jax.settings import not_negative, option

# Options that may differ when a run resumes.
MAY_DIFFER = ("out", "checkpoint_minutes", "writers")


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """Where a run is written, and its seed.

    out:                folder, new or empty; None: named after the time.
    seed:               of everything random.
    checkpoint_minutes: between two checkpoints.
    writers:            services that also get the metrics, separated by commas.
    """

    out: str | None = option(None, "Run folder, new or empty. Absent: runs/TIME.")
    seed: int = option(0, "Seed of all randomness.")
    checkpoint_minutes: float = option(
        1.0, "Minutes between two checkpoints of distillation; 0: one after every ten steps."
    )
    writers: str = option(
        "", f"Services that also get the metrics of metrics.jsonl: any of {', '.join(WRITERS)}."
    )

    def __post_init__(self) -> None:
        not_negative(checkpoint_minutes=self.checkpoint_minutes)
        check_writers(self.writer_names)

    @property
    def writer_names(self) -> list[str]:
        """The services, one by one."""
        return self.writers.split(",") if self.writers else []


def folder_of_now() -> str:
    """Path of a new run folder that is named after the time."""
    return time.strftime("runs/%Y%m%d-%H%M%S")
