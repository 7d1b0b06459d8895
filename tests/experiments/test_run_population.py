"""Populations: many sets in one program, in one process and in several."""

import json
import os
import pathlib
import random
import subprocess
import sys
import time

import numpy as np
import pytest
import run_population
import run_sdw
from config import Config

from obd_jax import artefacts
from obd_jax.types import InvalidInputError

SCRIPT = pathlib.Path(run_population.__file__)
TINY = {
    "dataset": "toy",
    "outer_steps": 20,
    "pairs": 8,
    "batch_size": 64,
    "students": 1,
    "episodes": 3,
}


def tiny(out, **changes):
    return Config(**{**TINY, "out": str(out), "density": "gaussian", **changes})


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    out = tmp_path_factory.mktemp("population") / "alone"
    return out, run_population.run(tiny(out), [0, 1], [0.0, 0.1])


def test_every_seed_with_every_temperature_is_a_member_with_a_folder(alone):
    out, results = alone
    names = [f"seed-{seed}-temperature-{value}" for seed in (0, 1) for value in (0, 0.1)]
    assert [member["name"] for member in results["members"]] == names
    assert json.loads((out / "results.json").read_text()) == json.loads(json.dumps(results))
    cards = [artefacts.load(out / name / "distilled.npz").card for name in names]
    assert [card["config"]["seed"] for card in cards] == [0, 0, 1, 1]
    assert [card["density"] is None for card in cards] == [True, False, True, False]
    assert len({member["loss"] for member in results["members"]}) == 4


def test_a_member_is_what_a_run_of_its_own_makes(alone, tmp_path):
    out, results = alone
    own = run_sdw.run(tiny(tmp_path / "own", temperature=0.1, curve_points=0))
    expected = artefacts.load(tmp_path / "own/distilled.npz").synthetic
    found = artefacts.load(out / "seed-0-temperature-0.1/distilled.npz").synthetic
    np.testing.assert_allclose(found.observations, expected.observations, atol=1e-4)
    np.testing.assert_allclose(found.actions, expected.actions, atol=1e-4)
    means = [r["returns"]["synthetic"]["mean"] for r in (own, results["members"][1])]
    assert means[0] == pytest.approx(means[1], rel=1e-3)


def start(out, job, **flags):
    """Two processes, which find each other as in a SLURM job."""
    given = {**TINY, "seeds": "0,1", "temperatures": "0", "out": out, **flags}
    words = [sys.executable, str(SCRIPT), "--distributed"]
    words += [f"--{name}={value}" for name, value in given.items()]
    slurm = {"JOB_ID": str(job), "STEP_NODELIST": "localhost", "NTASKS": "2"}
    processes = []
    for i in ("0", "1"):
        named = {**slurm, "PROCID": i, "LOCALID": i}
        environment = {**os.environ, **{f"SLURM_{name}": x for name, x in named.items()}}
        processes.append(
            subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True)
        )
    return processes


def job_number():
    """The port that JAX takes for a SLURM job depends on its number."""
    return random.SystemRandom().randrange(10**6)


def test_two_processes_find_what_one_finds(alone, tmp_path):
    for process in start(tmp_path / "two", job_number()):
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
    found = json.loads((tmp_path / "two/results.json").read_text())
    assert (found["processes"], found["devices"]) == (2, 2)
    expected = [m for m in alone[1]["members"] if m["temperature"] == 0]
    for ours, theirs in zip(found["members"], expected, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-6)
        for kind in ("mean", "iqm"):
            one, other = (m["returns"]["synthetic"][kind] for m in (ours, theirs))
            assert one == pytest.approx(other, rel=1e-6)


def test_a_process_that_is_killed_ends_the_other_one_too(tmp_path):
    first, second = start(tmp_path / "two", job_number(), outer_steps=10**8)
    for line in first.stderr:
        if line.startswith("distil"):
            break
    time.sleep(0.5)
    second.kill()
    try:
        _, said = first.communicate(timeout=120)
    finally:
        first.kill()
    second.communicate()
    # Either we notice first, or JAX's own watch does, which aborts.
    if first.returncode == run_population.LOST:
        assert said.endswith("another process of this job has ended, or cannot be reached\n")
    else:
        assert "another task died" in said
    assert not (tmp_path / "two").exists()


@pytest.mark.parametrize(
    ("changes", "lists", "message"),
    [
        ({"budget_minutes": 1.0}, ([0], [0.0]), "no --budget_minutes"),
        ({"start": "x.npz"}, ([0], [0.0]), "no --start"),
        ({}, ([], [0.0]), "at least one number each"),
        ({}, ([0], [-1.0]), "temperature must not be negative"),
        ({"out": None}, ([0], [0.0]), "--out is required"),
    ],
)
def test_bad_input_is_refused(tmp_path, changes, lists, message):
    config = Config(**{**TINY, "out": str(tmp_path / "x"), **changes})
    with pytest.raises(InvalidInputError, match=message):
        run_population.run(config, *lists)
    assert not (tmp_path / "x").exists()
