"""The folder of one run: one process at a time works in it, and another may resume."""

import contextlib
import csv
import json
import os
import pathlib
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

import filelock
import numpy as np
from PIL import Image

from obd_jax.artefacts.writers import WRITERS, MetricsWriter, check_writers, numbers_of
from obd_jax.settings import OptionError
from obd_jax.types import InvalidInputError

# What a process needs to resume; removed with the last result.
CHECKPOINTS = "checkpoints"
_OWN = {
    "sets",
    "tensorboard",
    "wandb",
    "config.json",
    "metrics.jsonl",
    "distilled.npz",
    "card.json",
    "curve.png",
    "report.html",
    CHECKPOINTS,
}


@contextlib.contextmanager
def lock(path: pathlib.Path) -> Iterator[None]:
    """Context in which no other process can work in a folder, which is created if needed.

    Raises:
        InvalidInputError: another process is, or the folder cannot be written.
    """
    held = filelock.FileLock(path / CHECKPOINTS / ".lock")
    try:
        (path / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
        held.acquire(timeout=0)
    except filelock.Timeout as error:
        raise InvalidInputError(f"another process is at work in {path}") from error
    except OSError as error:
        raise InvalidInputError(f"run folder {path} cannot be written: {error}") from error
    try:
        yield
    finally:
        held.release()


def write_json(path: pathlib.Path, content: Any, indent: int | None = 2) -> None:
    """Write a JSON file, whole or not at all."""
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(json.dumps(content, indent=indent, allow_nan=False) + "\n")
    temporary.replace(path)


def check_same(
    folder: pathlib.Path,
    name: str,
    settings: dict[str, Any],
    ignore: Sequence[str] = (),
    are_options: bool = True,
    extra: bool = False,
) -> None:
    """Compare settings with those that the work in a folder was started with.

    Args:
        folder: of a run.
        name: of its JSON file of settings; nothing is compared where there is none.
        settings: those given.
        ignore: names of some that may differ.
        are_options: whether the names are those of options.
        extra: whether the file may have more names than are given.

    Raises:
        InvalidInputError: some differ; each is named.
    """
    path = folder / name
    if not path.exists():
        return
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise InvalidInputError(f"{path} is damaged: {error}") from error
    given = json.loads(json.dumps(settings))
    names = given if extra else {**given, **found}
    differences = [
        f"{{{name}}} is {given.get(name)}, the run in {folder} has {found.get(name)}"
        if are_options
        else f"{name} is {given.get(name)}, the run in {folder} has {found.get(name)}"
        for name in names
        if name not in ignore and given.get(name) != found.get(name)
    ]
    if differences:
        raise OptionError("; ".join(differences))


def record_inputs(
    folder: pathlib.Path,
    config: dict[str, Any],
    inputs: dict[str, Any],
    ignore: Sequence[str] = (),
) -> None:
    """Record in a folder what the work in it depends on, or compare that with what is there.

    Args:
        folder: it is locked.
        config: kept as `config.json`.
        inputs: beside the configuration: name -> hash; kept as long as the checkpoints.
        ignore: settings that may differ.

    Raises:
        InvalidInputError: something differs; each is named.
    """
    kept = f"{CHECKPOINTS}/inputs.json"
    # Files written before 0.2 also hold options of components that were not chosen.
    check_same(folder, "config.json", config, ignore, extra=True)
    check_same(folder, kept, inputs, are_options=False)
    for name, content in ((kept, inputs), ("config.json", config)):
        if not (folder / name).exists():
            write_json(folder / name, content)


def read_result(
    path: pathlib.Path, config: dict[str, Any], defaults: dict[str, Any]
) -> dict[str, Any] | None:
    """A result that is kept with the configuration it was made with; None if it is not there.

    Args:
        path: of the JSON file, with the settings under "config".
        config: settings wanted.
        defaults: of settings that are newer than the file.

    Raises:
        InvalidInputError: it was made with other settings.
    """
    if not path.exists():
        return None
    kept = json.loads(path.read_text())
    defaults, wanted = (json.loads(json.dumps(each)) for each in (defaults, config))
    found = {**defaults, **kept["config"]}
    for name, value in wanted.items():
        if found[name] != value:
            raise OptionError(
                f"{path} was made with {{{name}}}={found[name]}, not {value}; give another {{out}}"
            )
    return kept


def write_csv(path: pathlib.Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows of the same columns as CSV, whole or not at all."""
    temporary = path.with_name(f".{path.name}.part")
    with open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[-1]))
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(path)


def refuse_unusable(
    path: pathlib.Path, config: dict[str, Any], ignore: Sequence[str] = ("out",)
) -> None:
    """Check, without changing anything, that a run can start in `path`, or resume.

    Args:
        path: the folder.
        config: of the run.
        ignore: settings that may differ from those of the run that it holds.

    Raises:
        InvalidInputError: it holds a finished run, or one of another configuration, or other
            files, or another process works in it, or it cannot be written.
    """
    _refuse_content(path, config, ignore)
    existing = path.absolute()
    while not existing.exists():
        existing = existing.parent
    if not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
        raise InvalidInputError(f"run folder {path} cannot be written ({existing} is not writable)")
    if (path / CHECKPOINTS / ".lock").exists():
        with lock(path):
            pass


def _refuse_content(path: pathlib.Path, config: dict[str, Any], ignore: Sequence[str]) -> None:
    """Refuse what is not a new folder nor the same run unfinished."""
    if path.exists() and not path.is_dir():
        raise InvalidInputError(f"run folder {path} is a file")
    found = {file.name for file in path.iterdir()} if path.exists() else set()
    if "results.json" in found:
        raise InvalidInputError(f"run folder {path} already holds a finished run; give a new one")
    known = _OWN if "config.json" in found else {CHECKPOINTS}
    # A name with a dot: written in part when a process ended.
    if foreign := sorted(name for name in found - known if not name.startswith(".")):
        raise InvalidInputError(
            f"run folder {path} already holds other files, {', '.join(foreign)}; give a new one"
        )
    check_same(path, "config.json", config, ignore, extra=True)


class RunFolder:
    """Writer of a run's files, which locks the folder and writes whole files atomically.

    This is a context manager; after its exit, another process may resume in the folder. If
    `InvalidInputError` ends it before there are metrics, a new run leaves nothing in the folder.
    """

    def __init__(
        self,
        path: pathlib.Path,
        config: dict[str, Any],
        inputs: dict[str, Any],
        ignore: Sequence[str] = ("out",),
        writers: Sequence[str] = (),
    ):
        """Start a run in a new folder, or resume the one there.

        Args:
            path: the folder.
            config: written as `config.json`.
            inputs: what the run depends on beside its configuration: name -> hash.
            ignore: settings that may differ from those of the run there.
            writers: names of services that are shown the metrics too, of `WRITERS`.

        Raises:
            InvalidInputError: as `refuse_unusable`, or other inputs than those of the run there, or
                a service that there is not.
        """
        check_writers(writers)
        refuse_unusable(path, config, ignore)
        self.path = path
        self._config, self._names = config, writers
        self._writers: list[MetricsWriter] = []
        with contextlib.ExitStack() as stack:
            stack.enter_context(lock(path))
            _refuse_content(path, config, ignore)  # Another process may have been quicker.
            self._is_new = {file.name for file in path.iterdir()} == {CHECKPOINTS} and {
                file.name for file in (path / CHECKPOINTS).iterdir()
            } <= {".lock"}
            try:
                record_inputs(path, config, inputs, ignore)
                self._metrics = stack.enter_context((path / "metrics.jsonl").open("a"))
            except OSError as error:
                raise InvalidInputError(f"run folder {path} cannot be written: {error}") from error
            self._stack = stack.pop_all()

    def add_metrics(self, record: dict[str, Any]) -> None:
        """Append one line to `metrics.jsonl`, and show it to the services."""
        self._metrics.write(json.dumps(record) + "\n")
        self._metrics.flush()
        if not self._writers:  # Now it is known at which step the run resumes.
            for name in self._names:
                writer = WRITERS[name](self.path, self._config, record["step"])
                self._writers.append(writer)
                self._stack.callback(writer.close)
        for writer in self._writers:
            writer.add(record["step"], numbers_of(record))

    def sync_metrics(self) -> None:
        """Return when all lines are on the disk, where they outlast the machine's power."""
        os.fsync(self._metrics.fileno())

    def cut_metrics(self, step: int) -> list[dict[str, Any]]:
        """Drop all lines beyond an outer step, which will be added again; returns the others.

        Raises:
            InvalidInputError: there are no lines up to that step.
        """
        kept, length = [], 0
        with (self.path / "metrics.jsonl").open("rb+") as file:
            for line in file:
                if not line.endswith(b"\n"):  # A process ended while it wrote this one.
                    break
                record = json.loads(line)
                if record["step"] > step:
                    break
                kept.append(record)
                length += len(line)
            if step > 0 and not (kept and kept[-1]["step"] == step):
                raise InvalidInputError(f"{file.name} lacks lines up to step {step}")
            file.truncate(length)
        return kept

    def finish(self, results: dict[str, Any]) -> None:
        """Write `results.json`, after which there is nothing to resume."""
        picture, distilled = self.path / "curve.png", self.path / "distilled.npz"
        if self._writers and picture.exists():
            with np.load(distilled) as arrays:
                states = arrays["normalized_observations"].ravel()
            for writer in self._writers:
                writer.show(np.asarray(Image.open(picture).convert("RGB")), states)
        write_json(self.path / "results.json", results)
        # Some network file systems keep the lock, being open, under another name.
        shutil.rmtree(self.path / CHECKPOINTS, ignore_errors=True)

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, kind: type[BaseException] | None = None, *_: object) -> None:
        # Input that turned out to be useless before there was anything to keep.
        useless = kind is not None and issubclass(kind, InvalidInputError)
        with self._stack:
            if useless and self._is_new and not self._metrics.tell():
                for name in ("config.json", "metrics.jsonl"):
                    (self.path / name).unlink(missing_ok=True)
                shutil.rmtree(self.path / CHECKPOINTS, ignore_errors=True)
