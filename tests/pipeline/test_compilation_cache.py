"""A second process of the same shapes compiles nothing."""

import os
import subprocess
import sys

import pytest

# Runs a command, then prints how many programs were compiled, and how many read.
COUNTED = """
import atexit, collections, jax
counts = collections.Counter()
jax.monitoring.register_event_listener(lambda name, **_: counts.update([name.rsplit("/", 1)[1]]))
atexit.register(lambda: print("counted", counts["cache_misses"], counts["cache_hits"]))
from obd_jax.__main__ import main
main()
"""
RUN = ("run", "--dataset=toy", "--outer_steps=40", "--pairs=8", "--batch_size=64", "--students=2")
RUN += ("--episodes=2", "--curve_points=2", "--density_states=500")


def compiled(folder, *arguments):
    """Programs that a command compiles, and those that it reads from the folder."""
    done = subprocess.run(
        [sys.executable, "-c", COUNTED, *arguments],
        env={
            **os.environ,
            "JAX_COMPILATION_CACHE_DIR": str(folder),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    misses, hits = done.stdout.splitlines()[-1].removeprefix("counted ").split()
    return int(misses), int(hits)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(RUN, id="run"),
        pytest.param((*RUN, "--student=mlp"), id="mlp", marks=pytest.mark.slow),
        pytest.param((*RUN, "--student=pool"), id="pool", marks=pytest.mark.slow),
        pytest.param(
            ("teacher", "--dataset=toy", "--algorithm=td3_bc", "--steps=1000"),
            id="teacher",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_second_process_compiles_nothing(tmp_path, arguments):
    first, _ = compiled(tmp_path / "programs", *arguments, "--seed=0", f"--out={tmp_path / 'a'}")
    again, read = compiled(tmp_path / "programs", *arguments, "--seed=1", f"--out={tmp_path / 'b'}")
    assert (again, read > 20) == (0, True)
    assert first > 20
