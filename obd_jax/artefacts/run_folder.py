"""The folder of one run: configuration, metrics, results."""

import json
import os
import pathlib
from typing import Any

from obd_jax.types import InvalidInputError


def refuse_unusable(path: pathlib.Path) -> None:
    """Check, without touching anything, that `path` can become a run folder.

    Raises:
        InvalidInputError: it holds files already, or cannot be written.
    """
    if path.exists():
        if not path.is_dir():
            raise InvalidInputError(f"run folder {path} is a file")
        if any(path.iterdir()):
            raise InvalidInputError(
                f"run folder {path} already holds another run or other files; give a new one"
            )
    existing = path.absolute()
    while not existing.exists():
        existing = existing.parent
    if not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
        raise InvalidInputError(f"run folder {path} cannot be written ({existing} is not writable)")


class RunFolder:
    """Writer of a run's files; every file but the metrics appears whole or not at all."""

    def __init__(self, path: pathlib.Path):
        refuse_unusable(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._metrics = (path / "metrics.jsonl").open("w")
        except OSError as error:
            raise InvalidInputError(f"run folder {path} cannot be written: {error}") from error
        self.path = path

    def write_json(self, name: str, content: Any) -> None:
        """Write `content` as `name`."""
        temporary = self.path / f".{name}.part"
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")
        temporary.replace(self.path / name)

    def add_metrics(self, record: dict[str, Any]) -> None:
        """Append one line to `metrics.jsonl`."""
        self._metrics.write(json.dumps(record) + "\n")
        self._metrics.flush()

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self._metrics.close()
