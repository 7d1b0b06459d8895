"""Data recorded from policies of the package: what they are made of, the same for a seed."""

import os
import pathlib
import signal
import subprocess
import sys
import time
from importlib.metadata import version

import h5py
import numpy as np
import pytest

from obd_jax import data, environments, recorded
from obd_jax.data import embedded as module
from obd_jax.data.embedded import Part, embedded_parts, embedded_rows
from obd_jax.types import InvalidInputError

ROLES = recorded.ROLES


# Rows of D4RL's data sets (Fu et al. 2020, and the v2 files).
@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("hopper-random", 1_000_000),
        ("walker2d-medium", 1_000_000),
        ("halfcheetah-expert-v2", 1_000_000),
        ("walker2d-medium-expert", 2_000_000),
        ("halfcheetah-medium-replay", 202_000),
        ("hopper-medium-replay", 402_000),
        ("walker2d-medium-replay-v2", 302_000),
    ],
)
def test_sizes_are_those_of_d4rl(name, rows):
    assert embedded_rows(name) == rows
    assert sum(part.rows for part in embedded_parts(name)) == rows


def test_single_policies_and_halves():
    roles = ROLES["hopper"]
    assert embedded_parts("hopper-random", 100) == [Part(None, 100)]
    assert embedded_parts("hopper-medium", 100) == [Part(roles["medium"], 100)]
    assert embedded_parts("hopper-expert", 100) == [Part(roles["expert"], 100)]
    assert embedded_parts("hopper-medium-expert", 101) == [
        Part(roles["medium"], 50),
        Part(roles["expert"], 51),
    ]


@pytest.mark.parametrize("environment", ROLES)
def test_a_replay_is_a_ladder_in_training_order(environment):
    parts = embedded_parts(f"{environment}-medium-replay", 250_000)
    steps = [part.steps for part in parts]
    assert steps[0] is None
    assert steps[1:] == sorted(steps[1:])
    assert steps[-1] == ROLES[environment]["medium"]
    assert len(parts) >= 10
    # As in a buffer: rows go with the training steps since the snapshot before.
    gaps = np.diff([0, *steps[1:]])
    rows = np.array([part.rows for part in parts])
    np.testing.assert_allclose(rows / rows[0], [1, *gaps / gaps[0]], rtol=1e-3)
    assert rows.sum() == 250_000


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ant-medium", "'ant-medium' cannot be recorded .* hopper, halfcheetah, walker2d"),
        ("hopper-full-replay", "cannot be recorded .* TYPE in random, medium, expert"),
        ("humanoid-medium", "unknown data set"),
    ],
)
def test_what_cannot_be_recorded_is_refused_with_what_can(name, message):
    with pytest.raises(InvalidInputError, match=message):
        embedded_parts(name, 1000)


def test_too_few_rows_are_refused():
    with pytest.raises(InvalidInputError, match=r"100 rows of .* too few for its 13 policies"):
        embedded_parts("hopper-medium-replay", 100)


@pytest.mark.parametrize(
    ("rows", "shards"),
    [
        (8, [8]),
        (64_000, [64_000]),
        (64_007, [64_007]),
        (64_008, [64_000, 8]),
        (128_003, [64_000, 64_003]),
        (200_000, [64_000, 64_000, 64_000, 8_000]),
    ],
)
def test_shards_are_large_enough_to_be_recorded(rows, shards):
    assert module._split(rows) == shards


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OBD_JAX_CACHE", str(tmp_path))
    return tmp_path


def load(name="hopper-medium-expert", **options):
    return data.load(name, "embedded", **{"rows": 2400, **options})


def test_recorded_data_are_of_both_policies_and_say_what_they_are(cache):
    loaded = load()
    # A row is lost where each half is cut off, and where the expert runs out of time.
    assert len(loaded) == 2400 - 3
    assert (loaded.observation_size, loaded.action_size) == (11, 3)
    provenance = loaded.provenance
    assert provenance.source == "embedded"
    assert provenance.name == "hopper-medium-expert, 2400 rows, seed 0"
    assert provenance.environment == "Hopper-v4"
    (path,) = cache.glob("embedded/*.hdf5")
    with h5py.File(path) as file:
        rewards = file["rewards"][()]
        assert "not D4RL's" in file.attrs["card"]
        assert {"gymnasium", "mujoco", "numpy"} <= set(file.attrs)
    expert = recorded.snapshot("hopper", ROLES["hopper"]["expert"])
    alone = recorded.roll_out(
        expert.sample, environments.get("hopper"), 1200, (0, ROLES["hopper"]["expert"], 0)
    )
    np.testing.assert_array_equal(rewards[1200:], alone["rewards"])


def test_the_cache_serves_a_second_call(cache):
    notes = []
    first = load(note=notes.append)
    (path,) = cache.glob("embedded/*.hdf5")
    written = path.stat().st_mtime_ns
    second = load("hopper-medium-expert", note=notes.append)
    assert path.stat().st_mtime_ns == written
    np.testing.assert_array_equal(first.observations, second.observations)
    assert first.provenance == second.provenance
    assert len(notes) == 1
    assert "recording 2,400 transitions of hopper-medium-expert" in notes[0]


def test_the_hash_is_of_the_arrays_alone(cache, monkeypatch):
    """Another version of NumPy writes other bytes around equal arrays, and records nothing anew."""
    first, notes = load("hopper-random", rows=400), []
    (path,) = cache.glob("embedded/*.hdf5")
    with h5py.File(path, "a") as file:
        file.attrs["numpy"] = "9.9"
    monkeypatch.setattr(
        module, "version", lambda package: "9.9" if package == "numpy" else version(package)
    )
    again = load("hopper-random", rows=400, note=notes.append)
    assert (again.provenance, notes) == (first.provenance, [])


def test_a_recording_that_is_not_as_it_was_written_is_made_again(cache):
    first, notes = load("hopper-random", rows=400), []
    (path,) = cache.glob("embedded/*.hdf5")
    with h5py.File(path, "a") as file:
        file["rewards"][7] += 1.0
    again = load("hopper-random", rows=400, note=notes.append)
    assert again.provenance == first.provenance
    np.testing.assert_array_equal(again.rewards, first.rewards)
    assert "differs from what was written" in notes[0]


def test_a_seed_repeats_its_data_and_another_does_not(cache):
    first = load("hopper-random", rows=400)
    for path in cache.glob("embedded/*"):
        path.unlink()
    assert load("hopper-random", rows=400).provenance.sha256 == first.provenance.sha256
    other = load("hopper-random", rows=400, seed=1)
    assert np.abs(other.observations[0] - first.observations[0]).max() > 1e-4


def test_progress_is_told(cache):
    seen = {}
    load(progress=lambda label: lambda *args: seen.setdefault(label, []).append(args))
    assert seen == {"record hopper-medium-expert, rows": [(0, 2400), (1200, 2400), (2400, 2400)]}


def test_many_processes_record_what_one_does(cache, monkeypatch):
    monkeypatch.setattr(module, "_SHARD", 400)
    several = load("hopper-medium", rows=1000)
    environment = environments.get("hopper")
    steps = ROLES["hopper"]["medium"]
    policy = recorded.snapshot("hopper", steps)
    shards = [
        recorded.roll_out(policy.sample, environment, rows, (0, steps, number))
        for number, rows in enumerate([400, 400, 200])
    ]
    expected = {name: np.concatenate([shard[name] for shard in shards]) for name in shards[0]}
    np.testing.assert_array_equal(several.observations, data.from_arrays(**expected).observations)


RECORD = """
from obd_jax import data
from obd_jax.reporting import CONSOLE
data.load("hopper-medium", "embedded", rows=1_000_000, note=CONSOLE.note, progress=CONSOLE.progress)
"""


def children(pid):
    """Processes that another one started, on Linux."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # It has ended.
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


@pytest.mark.skipif(not pathlib.Path("/proc/self/stat").exists(), reason="processes are not listed")
def test_workers_end_with_a_recorder_that_is_killed(tmp_path):
    variables = {**os.environ, "OBD_JAX_CACHE": str(tmp_path), "LOKY_MAX_CPU_COUNT": "2"}
    recorder = subprocess.Popen([sys.executable, "-c", RECORD], env=variables)
    try:
        deadline = time.monotonic() + 60
        while len(children(recorder.pid)) < 3 and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(3.0)  # They are at work.
        started = children(recorder.pid)
        assert len(started) >= 3  # Two workers, and what looks after their memory.
    finally:
        recorder.send_signal(signal.SIGKILL)
        recorder.wait()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and any(pathlib.Path(f"/proc/{p}").exists() for p in started):
        time.sleep(0.2)
    assert not [p for p in started if pathlib.Path(f"/proc/{p}").exists()]
