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

from obd_jax import artefacts, density, evaluation, runs
from obd_jax.cli import STOPPED
from obd_jax.pipeline import MemberSettings, RunSettings, population, preset, run, run_population
from obd_jax.pipeline.population import member_name, members_of, population_summary
from obd_jax.reporting import CONSOLE, SILENT, Clock
from obd_jax.settings import from_options, to_options, with_options
from obd_jax.types import InvalidInputError

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "experiments" / "run_population.py"
TINY = {
    "dataset": "toy",
    "outer_steps": 20,
    "pairs": 8,
    "batch_size": 64,
    "students": 1,
    "episodes": 3,
}


def tiny(out, **changes):
    """The preset that the command starts from, with few steps."""
    base = RunSettings(distillation=preset("default"))
    return with_options(base, **{**TINY, "out": str(out), "density": "gaussian", **changes})


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    out = tmp_path_factory.mktemp("population") / "alone"
    return out, run_population(tiny(out), MemberSettings((0, 1), (0.0, 0.1)), SILENT)


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
    own = run(tiny(tmp_path / "own", temperature=0.1, curve_points=0), SILENT)
    expected = artefacts.load(tmp_path / "own/distilled.npz").synthetic
    found = artefacts.load(out / "sets/seed-0-temperature-0.1/distilled.npz").synthetic
    np.testing.assert_allclose(found.observations, expected.observations, atol=1e-4)
    np.testing.assert_allclose(found.actions, expected.actions, atol=1e-4)
    means = [r["returns"]["synthetic"]["mean"] for r in (own, results["members"][1])]
    assert means[0] == pytest.approx(means[1], rel=1e-3)


def test_members_that_diverge_are_said_to_and_lose_nothing(tmp_path, monkeypatch):
    score, both, said = population.score, MemberSettings((0, 1), (0.0,)), []

    def diverges(prepared, name, *rest):
        if name == "seed-1-temperature-0":
            raise evaluation.NotFiniteError("not finite")
        return score(prepared, name, *rest)

    monkeypatch.setattr(population, "score", diverges)
    reporter = SILENT._replace(note=said.append)
    found = run_population(tiny(tmp_path / "one", outer_steps=10), both, reporter)["members"]
    assert "seed-1-temperature-0: not finite" in said
    assert [member["returns"]["synthetic"] is None for member in found] == [False, True]
    # Every step of these is skipped.
    wild = {"student": "mlp", "hidden_sizes": (4,), "inner_steps": 9, "inner_learning_rate": 1e9}
    results = run_population(tiny(tmp_path / "all", outer_steps=10, **wild), both, SILENT)
    for member in results["members"]:
        assert (member["loss"], member["skipped"]) == (None, 10)
        assert member["returns"]["synthetic"] is None
        kept = artefacts.load(tmp_path / "all/sets" / member["name"] / "distilled.npz")
        assert np.isfinite(kept.synthetic.observations).all()
    assert json.loads((tmp_path / "all/results.json").read_text())["members"][1]["loss"] is None
    lines = population_summary(results, tmp_path / "all").splitlines()
    assert "diverged" in lines[1]
    # The teacher's return stands below those of the members.
    (teacher,) = [line for line in lines if line.startswith("teacher ")]
    assert len(teacher) == len("member".ljust(28) + "return".rjust(8))


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
        if line.startswith("distil, step"):
            break
    time.sleep(0.5)


def without_clock(path):
    lines = (path / "metrics.jsonl").read_text().splitlines()
    return [
        {name: value for name, value in json.loads(line).items() if "seconds" not in name}
        for line in lines
    ]


def test_stopped_it_resumes_to_the_same_sets(alone, tmp_path, monkeypatch):
    settings = tiny(tmp_path / "out", outer_steps=40, temperature=0.0, checkpoint_minutes=0.0)
    both = MemberSettings((0, 1))  # Of the run's temperature.
    whole = with_options(settings, out=str(tmp_path / "expected"))
    expected = run_population(whole, both, SILENT)
    save, saved = runs.Checkpoints.save, []

    def save_and_stop(self, step, *rest):
        save(self, step, *rest)
        saved.append(step)
        if step == 20:
            raise runs.Stopped

    with monkeypatch.context() as patch:
        patch.setattr(runs.Checkpoints, "save", save_and_stop)
        with pytest.raises(runs.Stopped):
            run_population(settings, both, SILENT)
    assert saved == [10, 20]
    found = run_population(settings, both, SILENT)
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
        run_population(settings, both, SILENT)


def test_density_weights_are_kept_and_metrics_on_the_disk_before_a_checkpoint(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("OBD_JAX_CACHE", str(tmp_path / "cache"))  # No densities of other tests.
    settings = tiny(tmp_path / "out", checkpoint_minutes=0.0)
    both = MemberSettings((0, 1), (0.1, 0.0, 0.3))
    events, expected, checkpoints = [], [], runs.Checkpoints
    save, sync, fit = checkpoints.save, runs.RunFolder.sync_metrics, density.fit

    def saved(self, step, *rest):
        events.append(step)
        save(self, step, *rest)
        if step == 10 and "stopped" not in events:
            events.append("stopped")
            raise runs.Stopped

    def synced(self):
        events.append("sync")
        sync(self)

    def fitted(*arguments, **options):
        events.append("fit")
        return fit(*arguments, **options)

    def weights_of(objectives):
        return [each.weights for each in objectives]

    objectives = population._objectives

    def kept(*arguments):
        found = objectives(*arguments)
        expected.append(weights_of(found))
        return found

    monkeypatch.setattr(checkpoints, "save", saved)
    monkeypatch.setattr(runs.RunFolder, "sync_metrics", synced)
    monkeypatch.setattr(density, "fit", fitted)
    monkeypatch.setattr(population, "_objectives", kept)
    with pytest.raises(runs.Stopped):
        run_population(settings, both, SILENT)
    # The weights of either temperature, then the states.
    assert events == ["fit", 0, 0, "sync", 10, "stopped"]
    results = run_population(settings, both, SILENT)
    assert events[6:8] == ["sync", 20]
    assert "fit" not in events[6:]
    for before, after in zip(*expected, strict=True):
        np.testing.assert_array_equal(before, after)
    assert results["seconds"]["density"] > 0
    cards = [
        artefacts.load(tmp_path / "out/sets" / member["name"]).card["density"]
        for member in results["members"]
    ]
    assert [card and card["estimator"] for card in cards] == ["gaussian", None, "gaussian"] * 2
    assert cards[0]["effective_sample_fraction"] > cards[2]["effective_sample_fraction"]


def test_a_process_that_is_killed_ends_the_other_one_too_and_both_resume(tmp_path):
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
    if first.returncode == STOPPED:
        assert said.endswith("another process of this job has ended, or cannot be reached\n")
    else:
        assert "another task died" in said
    assert not (tmp_path / "two/results.json").exists()
    # Both resume; one that is told to end makes the other one save and end with it.
    first, second = start(tmp_path / "two", job_number(), **job)
    wait_for_steps(first)
    second.terminate()
    said = [process.communicate(timeout=120)[1] for process in (first, second)]
    assert [first.returncode, second.returncode] == [STOPPED] * 2, said
    assert "to resume: " in said[0]
    reached = json.loads((tmp_path / "two/metrics.jsonl").read_text().splitlines()[-1])["step"]
    checkpoints = tmp_path / "two/checkpoints/distil"
    assert str(reached) in {path.name for path in checkpoints.iterdir()}


def test_devices_that_cannot_share_the_sets_are_told_of(tmp_path, monkeypatch, capsys):
    class Meshed(Exception):
        pass

    def device_mesh(devices):
        raise Meshed(devices)

    monkeypatch.setattr(population.jax, "devices", lambda: ["a", "b", "c", "d"])
    monkeypatch.setattr(population.distill, "device_mesh", device_mesh)
    with pytest.raises(Meshed) as meshed:
        run_population(tiny(tmp_path / "x"), MemberSettings((0, 1, 2)), CONSOLE)
    assert meshed.value.args == (["a", "b", "c"],)
    assert capsys.readouterr().err == "the 3 sets are sharded over 3 of 4 devices\n"


def test_work_for_a_temperature_is_done_once(monkeypatch, tmp_path):
    done, first = [], object()

    def reweight(distillation, prepared, objective, clock, reporter, folder, cache, place, phase):
        assert prepared is first
        assert folder is tmp_path
        done.append((distillation.density.temperature, id(cache), place))
        return distillation.density.temperature

    monkeypatch.setattr(population, "reweight", reweight)
    monkeypatch.setattr(population, "make_objective", lambda *_: None)
    members = members_of(RunSettings(), MemberSettings((3, 4), (0.1, 0.0)))
    found = population._objectives(members, first, Clock(), SILENT, tmp_path)
    assert found == [0.1, 0.0, 0.1, 0.0]
    assert [temperature for temperature, *_ in done] == [0.1, 0.0]
    assert len({cache for _, cache, _ in done}) == 1
    assert [place for *_, place in done] == ["density-0.1", "density-0"]


def test_members_differ_in_seed_and_temperature_alone():
    settings = from_options(RunSettings, {"student": "mlp", "inner_steps": 5, "temperature": 0.2})
    members = members_of(settings, MemberSettings((3, 4)))
    assert [member_name(member) for member in members] == [
        "seed-3-temperature-0.2",
        "seed-4-temperature-0.2",
    ]
    for member, seed in zip(members, (3, 4), strict=True):
        assert to_options(member) == to_options(settings) | {"seed": seed}


@pytest.mark.parametrize(
    ("changes", "lists", "message"),
    [
        ({"budget_minutes": 1.0}, {}, "^a population has no budget_minutes; give outer_steps$"),
        ({"start": "x.npz"}, {}, "^a population has no start$"),
        ({}, {"seeds": ()}, "^seeds needs at least one number$"),
        ({}, {"temperatures": ()}, "^temperatures needs at least one number$"),
        ({}, {"seeds": (0, 1, 0)}, r"^seeds must differ from each other, got \(0, 1, 0\)$"),
        ({}, {"temperatures": (0.0, 0.0)}, "^temperatures must differ from each other"),
        ({}, {"temperatures": (-1.0,)}, "^temperature must be finite"),
        ({"out": None}, {}, "^out is required"),
        ({"env": "none"}, {}, "^a population is scored in an environment: env=none is for a run$"),
        ({"holdout": 0.1}, {}, "^a population has no holdout; a run has$"),
    ],
)
def test_bad_input_is_refused(tmp_path, changes, lists, message):
    settings = from_options(RunSettings, {**TINY, "out": str(tmp_path / "x"), **changes})
    with pytest.raises(InvalidInputError, match=message):
        run_population(settings, MemberSettings(**lists), SILENT)
    assert not (tmp_path / "x").exists()
