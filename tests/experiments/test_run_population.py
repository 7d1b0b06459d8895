"""Populations: many sets in one program, in one process and in several."""

import dataclasses
import json
import os
import pathlib
import random
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import run_population
import run_sdw
from config import Config

from obd_jax import artefacts, command_line, evaluation
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
    cards = [artefacts.load(out / "sets" / name / "distilled.npz").card for name in names]
    assert [card["config"]["seed"] for card in cards] == [0, 0, 1, 1]
    assert [card["density"] is None for card in cards] == [True, False, True, False]
    assert len({member["loss"] for member in results["members"]}) == 4


def test_a_member_is_what_a_run_of_its_own_makes(alone, tmp_path):
    out, results = alone
    own = run_sdw.run(tiny(tmp_path / "own", temperature=0.1, curve_points=0))
    expected = artefacts.load(tmp_path / "own/distilled.npz").synthetic
    found = artefacts.load(out / "sets/seed-0-temperature-0.1/distilled.npz").synthetic
    np.testing.assert_allclose(found.observations, expected.observations, atol=1e-4)
    np.testing.assert_allclose(found.actions, expected.actions, atol=1e-4)
    means = [r["returns"]["synthetic"]["mean"] for r in (own, results["members"][1])]
    assert means[0] == pytest.approx(means[1], rel=1e-3)


def test_members_that_diverge_are_said_to_and_lose_nothing(tmp_path, monkeypatch):
    score = run_population.score

    def diverges(setup, name, *rest):
        if name == "seed-1-temperature-0":
            raise evaluation.NotFiniteError("not finite")
        return score(setup, name, *rest)

    monkeypatch.setattr(run_population, "score", diverges)
    found = run_population.run(tiny(tmp_path / "one", outer_steps=10), [0, 1], [0.0])["members"]
    assert [member["returns"]["synthetic"] is None for member in found] == [False, True]
    # Every step of these is skipped.
    wild = {"student": "mlp", "hidden_sizes": (4,), "inner_steps": 9, "inner_learning_rate": 1e9}
    results = run_population.run(tiny(tmp_path / "all", outer_steps=10, **wild), [0, 1], [0.0])
    for member in results["members"]:
        assert (member["loss"], member["skipped"]) == (None, 10)
        assert member["returns"]["synthetic"] is None
        kept = artefacts.load(tmp_path / "all/sets" / member["name"] / "distilled.npz")
        assert np.isfinite(kept.synthetic.observations).all()
    assert json.loads((tmp_path / "all/results.json").read_text())["members"][1]["loss"] is None


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


def test_a_cpu_of_two_cores_takes_two_sets_at_a_time(alone, tmp_path):
    words = [sys.executable, str(SCRIPT), f"--out={tmp_path / 'all'}", "--seeds=0,1"]
    words += [f"--{name}={value}" for name, value in TINY.items()] + ["--temperature=0"]
    environment = {**os.environ, "LOKY_MAX_CPU_COUNT": "2"}
    environment.pop("JAX_NUM_CPU_DEVICES", None)
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "all/results.json").read_text())
    assert found["devices"] == 2
    expected = [m["loss"] for m in alone[1]["members"] if m["temperature"] == 0]
    assert [m["loss"] for m in found["members"]] == pytest.approx(expected, rel=1e-5)


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


def wait_for_steps(process):
    for line in process.stderr:
        if line.startswith("distil"):
            break
    time.sleep(0.5)


def without_clock(path):
    lines = (path / "metrics.jsonl").read_text().splitlines()
    return [
        {name: value for name, value in json.loads(line).items() if "seconds" not in name}
        for line in lines
    ]


def test_stopped_it_goes_on_to_the_same_sets(alone, tmp_path, monkeypatch):
    config = tiny(tmp_path / "out", outer_steps=40, temperature=0.0, checkpoint_minutes=0.0)
    expected = run_population.run(
        dataclasses.replace(config, out=str(tmp_path / "expected")), [0, 1], [0.0]
    )
    save, saved = artefacts.Checkpoints.save, []

    def save_and_stop(self, step, *rest):
        save(self, step, *rest)
        saved.append(step)
        if step == 20:
            raise command_line.Stopped

    with monkeypatch.context() as patch:
        patch.setattr(artefacts.Checkpoints, "save", save_and_stop)
        with pytest.raises(command_line.Stopped):
            run_population.run(config, [0, 1], [0.0])
    assert saved == [10, 20]
    found = run_population.run(config, [0, 1], [0.0])
    assert [m["loss"] for m in found["members"]] == [m["loss"] for m in expected["members"]]
    for name in ("seed-0-temperature-0", "seed-1-temperature-0"):
        one, other = (
            artefacts.load(tmp_path / folder / "sets" / name / "distilled.npz").synthetic
            for folder in ("out", "expected")
        )
        np.testing.assert_array_equal(one.observations, other.observations)
        np.testing.assert_array_equal(one.actions, other.actions)
    assert without_clock(tmp_path / "out") == without_clock(tmp_path / "expected")
    with pytest.raises(InvalidInputError, match="already holds a finished run"):
        run_population.run(config, [0, 1], [0.0])


def test_a_process_that_is_killed_ends_the_other_one_too_and_both_go_on(tmp_path):
    job = {"outer_steps": 20_000, "checkpoint_minutes": 0}
    first, second = start(tmp_path / "two", job_number(), **job)
    wait_for_steps(first)
    second.kill()
    try:
        _, said = first.communicate(timeout=120)
    finally:
        first.kill()
    second.communicate()
    # Either we notice first, or JAX's own watch does, which aborts.
    if first.returncode == command_line.STOPPED:
        assert said.endswith("another process of this job has ended, or cannot be reached\n")
    else:
        assert "another task died" in said
    assert not (tmp_path / "two/results.json").exists()
    # Both go on; one that is told to end makes the other one save and end with it.
    first, second = start(tmp_path / "two", job_number(), **job)
    wait_for_steps(first)
    second.terminate()
    said = [process.communicate(timeout=120)[1] for process in (first, second)]
    assert [first.returncode, second.returncode] == [command_line.STOPPED] * 2, said
    assert "to go on: " in said[0]
    reached = json.loads((tmp_path / "two/metrics.jsonl").read_text().splitlines()[-1])["step"]
    checkpoints = tmp_path / "two/checkpoints/distil"
    assert str(reached) in {path.name for path in checkpoints.iterdir()}


def test_devices_that_cannot_share_the_sets_are_told_of(tmp_path, monkeypatch, capsys):
    class Meshed(Exception):
        pass

    def device_mesh(devices):
        raise Meshed(devices)

    monkeypatch.setattr(run_population.jax, "devices", lambda: ["a", "b", "c", "d"])
    monkeypatch.setattr(run_population.distill, "device_mesh", device_mesh)
    with pytest.raises(Meshed) as meshed:
        run_population.run(tiny(tmp_path / "x"), [0, 1, 2], [0.0])
    assert meshed.value.args == (["a", "b", "c"],)
    assert capsys.readouterr().err == "3 of 4 devices share the 3 sets equally\n"


def test_work_for_a_temperature_is_done_once(monkeypatch):
    done = []

    def surround(config, *_, **__):
        done.append((config.seed, config.temperature))
        return config.temperature

    monkeypatch.setattr(run_population, "surround", surround)
    monkeypatch.setattr(run_population, "make_goal", lambda *_: None)
    members = run_population.members_of(Config(), [3, 4], [0.1, 0.0])
    assert run_population.make_goals(members, None, None) == [0.1, 0.0, 0.1, 0.0]
    assert done == [(3, 0.1), (3, 0.0)]


def test_bad_input_is_no_loss_of_a_process_whatever_it_says(monkeypatch):
    def run(*_):
        raise InvalidInputError("download failed: Connection refused")

    class Flags(dict):
        distributed, config, seeds, temperatures = True, "default", ["0"], None

    absent = SimpleNamespace(present=0)
    monkeypatch.setattr(
        run_population.flags, "FLAGS", Flags(seed=absent, temperature=absent), raising=False
    )
    monkeypatch.setattr(run_population.jax.distributed, "initialize", lambda: None)
    monkeypatch.setattr(run_population, "config_from_flags", lambda *_: Config(dataset="toy"))
    monkeypatch.setattr(run_population, "run", run)
    with pytest.raises(InvalidInputError, match="Connection refused"):
        run_population.main()


@pytest.mark.parametrize(
    ("changes", "lists", "message"),
    [
        ({"budget_minutes": 1.0}, ([0], [0.0]), "no --budget_minutes"),
        ({"start": "x.npz"}, ([0], [0.0]), "no --start"),
        ({}, ([], [0.0]), "at least one number each"),
        ({}, ([0, 1, 0], [0.0]), r"--seeds must differ from each other, got \[0, 1, 0\]"),
        ({}, ([0], [-1.0]), "temperature must be finite"),
        ({"out": None}, ([0], [0.0]), "--out is required"),
    ],
)
def test_bad_input_is_refused(tmp_path, changes, lists, message):
    config = Config(**{**TINY, "out": str(tmp_path / "x"), **changes})
    with pytest.raises(InvalidInputError, match=message):
        run_population.run(config, *lists)
    assert not (tmp_path / "x").exists()
