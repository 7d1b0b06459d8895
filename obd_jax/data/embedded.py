"""Data sets in the manner of D4RL, recorded here from policies that come with the package."""

import functools
import hashlib
import json
import os
import pathlib
import threading
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np

from obd_jax import environments, recorded
from obd_jax.data.cache import cached
from obd_jax.data.hdf5 import read_hdf5, write_hdf5
from obd_jax.data.transitions import Fields, q_learning_data, sha256_of
from obd_jax.recorded.rollouts import LANES
from obd_jax.recorded.shipped import fingerprint
from obd_jax.types import InvalidInputError, OfflineData, Provenance

# Rows as in D4RL, of types that can be recorded; those of a replay are the environment's.
_ROWS = {
    "random": 1_000_000,
    "medium": 1_000_000,
    "expert": 1_000_000,
    "medium-expert": 2_000_000,
    "medium-replay": 0,
}
_REPLAY_ROWS = {"halfcheetah": 202_000, "hopper": 402_000, "walker2d": 302_000}

# To be raised when rows are recorded or arranged in another way.
_FORMAT = 2

# Attribute of a recording: the hash of its arrays.
_HASH = "sha256 of the arrays"

# Rows that one process records at a time: eight whole episodes on each lane.
_SHARD = 8 * LANES * environments.MAX_EPISODE_STEPS


class Part(NamedTuple):
    """Rows by one policy.

    steps: training steps of the policy; None: uniform actions.
    rows:  how many.
    """

    steps: int | None
    rows: int


def embedded_rows(name: str) -> int:
    """Rows of a data set by name, as many as D4RL's of that name has.

    Raises:
        InvalidInputError: a data set that cannot be recorded; the message lists those that can.
    """
    environment, kind = environments.parse_dataset(name)
    if environment.name not in recorded.ROLES or kind not in _ROWS:
        raise InvalidInputError(
            f"data set {name!r} cannot be recorded by policies of this package; ENVIRONMENT-TYPE "
            f"can with ENVIRONMENT in {', '.join(recorded.ROLES)} and TYPE in {', '.join(_ROWS)}"
        )
    return _ROWS[kind] or _REPLAY_ROWS[environment.name]


def embedded_parts(name: str, rows: int | None = None) -> list[Part]:
    """Which policies make up a data set, in the order of its rows.

    A replay begins with uniform actions and goes through all snapshots up to `medium`. As in the
    buffer of a training, each policy's share goes with the training steps since the one before.

    Args:
        name: like `hopper-medium-replay`.
        rows: of all policies together; None: as in D4RL.

    Raises:
        InvalidInputError: an unknown data set, or fewer rows than can be recorded.
    """
    usual_rows = embedded_rows(name)  # Refuses what cannot be recorded.
    rows = usual_rows if rows is None else rows
    environment, kind = environments.parse_dataset(name)
    roles = recorded.ROLES[environment.name]
    if kind == "random":
        parts = [Part(None, rows)]
    elif kind == "medium-expert":
        parts = [Part(roles["medium"], rows // 2), Part(roles["expert"], rows - rows // 2)]
    elif kind == "medium-replay":
        steps = [s for s in recorded.snapshots(environment.name) if s <= roles["medium"]]
        # The uniform policy counts like the first snapshot.
        ends = np.cumsum([steps[0], *np.diff([0, *steps])])
        counts = np.diff(ends * rows // ends[-1], prepend=0)
        parts = [Part(s, int(n)) for s, n in zip([None, *steps], counts, strict=True)]
    else:
        parts = [Part(roles[kind], rows)]
    if min(part.rows for part in parts) < LANES:
        raise InvalidInputError(
            f"{rows} rows of {name!r} are too few for its {len(parts)} policies, each of which "
            f"records at least {LANES}"
        )
    return parts


def load_embedded(
    name: str,
    cache: pathlib.Path,
    rows: int | None,
    seed: int,
    note: Callable[[str], None],
    progress: Callable[[str], Callable[[int, int], None]],
) -> OfflineData:
    """Data by the policies of this package, from the cache or recorded now.

    Args:
        name: like `walker2d-medium-expert`.
        cache: folder of the recordings.
        rows: None: as in D4RL.
        seed: of the rollouts.
        note: gets a line on why something takes time.
        progress: label -> function of (rows recorded, rows).

    Raises:
        InvalidInputError: an unknown data set, too few rows, or a folder that cannot be written.
    """
    parts = embedded_parts(name, rows)
    environment, _ = environments.parse_dataset(name)
    rows = sum(part.rows for part in parts)
    card = {
        "data": f"embedded {name}: by policies of obd_jax, not D4RL's",
        "environment": environment.gymnasium_id,
        "seed": seed,
        "parts": [
            {
                "rows": part.rows,
                "policy": "uniform" if part.steps is None else f"{part.steps} steps",
                "sha256": part.steps and fingerprint(environment.name, part.steps),
            }
            for part in parts
        ],
    }
    text = json.dumps(card)
    versions = {package: version(package) for package in ("gymnasium", "mujoco")}
    # Other policies, another way of recording them, or another simulator make another file.
    identity = hashlib.sha256(json.dumps([_FORMAT, versions, text]).encode()).hexdigest()[:8]
    path = cache / "embedded" / f"{name}-{rows}-{seed}-{identity}.hdf5"

    def make(temporary: pathlib.Path) -> None:
        note(f"recording {rows:,} transitions of {name}, cached in {path}")
        fields = _record(environment.name, parts, seed, progress(f"record {name}, rows"))
        attributes = {"card": text, **versions, "numpy": version("numpy")}
        write_hdf5(temporary, fields, {**attributes, _HASH: sha256_of(_in_order(fields))})

    fields, sha256 = cached(path, make, _checked, note)
    provenance = Provenance(
        "embedded",
        f"{name}, {rows} rows, seed {seed}",
        sha256,
        environment.gymnasium_id,
    )
    return q_learning_data(fields, provenance)


def _in_order(fields: Fields) -> Fields:
    """Fields by name, as no file keeps their order."""
    return {name: fields[name] for name in sorted(fields)}


def _checked(path: pathlib.Path) -> tuple[Fields, str]:
    """Fields of a recording and their hash, which depends on nothing but them.

    Raises:
        InvalidInputError: the file is damaged.
    """
    contents = read_hdf5(path)
    found = sha256_of(_in_order(contents.fields))
    if contents.attributes.get(_HASH) != found:
        raise InvalidInputError(f"{path} differs from what was written")
    return contents.fields, found


def _record(
    environment: str, parts: list[Part], seed: int, progress: Callable[[int, int], None]
) -> dict[str, np.ndarray]:
    """Rows of all parts in their order, recorded by as many processes as there are cores."""
    import joblib  # Takes a while, and most commands record nothing.

    shards = [
        (part.steps, shard, (seed, part.steps or 0, number))
        for part in parts
        for number, shard in enumerate(_split(part.rows))
    ]
    total, done = sum(part.rows for part in parts), 0
    results: dict[int, dict[str, np.ndarray]] = {}
    progress(0, total)
    # One thread each: products this small only wait for one another.
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        jobs = joblib.Parallel(
            n_jobs=min(joblib.cpu_count(), len(shards)), return_as="generator_unordered"
        )
        for number, fields in jobs(
            joblib.delayed(_record_shard)(os.getpid(), number, environment, *shard)
            for number, shard in enumerate(shards)
        ):
            results[number] = fields
            done += len(fields["rewards"])
            progress(done, total)
    return {
        name: np.concatenate([results[number][name] for number in range(len(shards))])
        for name in results[0]
    }


def _split(rows: int) -> list[int]:
    """Shards of `rows`; a rest too small to be recorded goes to the last one."""
    whole, rest = divmod(rows, _SHARD)
    if whole and rest < LANES:
        return [_SHARD] * (whole - 1) + [_SHARD + rest]
    return [_SHARD] * whole + [rest]


def _record_shard(
    starter: int, number: int, environment: str, steps: int | None, rows: int, seed: tuple[int, ...]
) -> tuple[int, dict[str, Any]]:
    """Rows by one policy; runs in a process of its own, which ends when its starter has."""
    if os.getpid() != starter:  # Who records alone has no other process.
        _end_with(starter)
    act = None if steps is None else recorded.snapshot(environment, steps).sample
    return number, recorded.roll_out(act, environments.get(environment), rows, seed)


@functools.cache
def _end_with(parent: int) -> None:
    """From now on, this process ends within a second of its parent, however that one ends.

    Killed by SIGKILL a parent tells nobody, and its workers would record on and then wait.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
