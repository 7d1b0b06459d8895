"""Services that get a run's metrics in addition to `metrics.jsonl`."""

import contextlib
import hashlib
import io
import pathlib
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from obd_jax.extras import require
from obd_jax.types import InvalidInputError

_PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb"}


def _package(writer: str) -> ModuleType:
    return require(_PACKAGES[writer], writer, f"{writer} metrics")


class MetricsWriter(NamedTuple):
    """An open service.

    add:   (step, name -> number) -> None.
    show:  (picture [H, W, 3] uint8, numbers of the distilled states) -> None, at the end of a run.
    close: () -> None.
    """

    add: Callable[[int, dict[str, float]], None]
    show: Callable[[np.ndarray, np.ndarray], None]
    close: Callable[[], None]


def _tensorboard(folder: pathlib.Path, config: dict[str, Any], step: int) -> MetricsWriter:
    """Event files in the run folder; what a stopped run wrote from `step` on is taken back."""
    tensorboard: Any = _package("tensorboard")
    writer = tensorboard.SummaryWriter(str(folder / "tensorboard"), purge_step=step)
    last = step

    def add(step: int, numbers: dict[str, float]) -> None:
        nonlocal last
        last = step
        for name, number in numbers.items():
            writer.add_scalar(name, number, step)

    def show(picture: np.ndarray, states: np.ndarray) -> None:
        writer.add_image("curve", picture, last, dataformats="HWC")
        writer.add_histogram("normalised states of the set", states, last)

    return MetricsWriter(add, show, writer.close)


def _wandb(folder: pathlib.Path, config: dict[str, Any], step: int) -> MetricsWriter:
    """A run of Weights & Biases, the same one for the same folder; $WANDB_MODE is its own."""
    wandb: Any = _package("wandb")
    with contextlib.redirect_stdout(io.StringIO()):
        run = wandb.init(
            project="obd_jax",
            dir=str(folder),
            id=hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16],
            name=folder.name,
            config=config,
            resume="allow",
        )

    def show(picture: np.ndarray, states: np.ndarray) -> None:
        run.log({"curve": wandb.Image(picture), "states": wandb.Histogram(states.tolist())})

    return MetricsWriter(lambda step, numbers: run.log(numbers, step=step), show, run.finish)


WRITERS: dict[str, Callable[[pathlib.Path, dict[str, Any], int], MetricsWriter]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
}


def check_writers(names: Sequence[str]) -> None:
    """Refuse services that are unknown, or whose package is not installed.

    Raises:
        InvalidInputError: one is; the message lists the known ones.
    """
    for name in names:
        if name not in WRITERS:
            raise InvalidInputError(f"unknown metrics writer {name!r}; known: {', '.join(WRITERS)}")
        _package(name)


def numbers_of(record: dict[str, Any]) -> dict[str, float]:
    """The finite numbers of a record, those of a list by their place: name/0, name/1 ..."""
    found = {}
    for name, value in record.items():
        entries = enumerate(value) if isinstance(value, list) else [(None, value)]
        for place, entry in entries:
            if name != "step" and isinstance(entry, int | float) and np.isfinite(entry):
                found[name if place is None else f"{name}/{place}"] = float(entry)
    return found
