"""Runs of the script that are killed, stopped or hindered, and resume."""

import contextlib
import json
import os
import pathlib
import random
import re
import resource
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
STEPS = 600
INTERVAL = 0.3  # Seconds between two checkpoints.
FLAGS = [
    "--dataset=toy",
    "--density=gaussian",
    "--pairs=8",
    "--student=mlp",
    "--hidden_sizes=32",
    "--inner_steps=30",
    "--batch_size=64",
    f"--outer_steps={STEPS}",
    "--students=5",
    "--episodes=2",
    "--curve_points=4",
    f"--checkpoint_minutes={INTERVAL / 60}",
]


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Starts a run in a process of its own; all have the same compiled programs."""
    processes = []
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("programs")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }

    def start(out, *flags):
        script = ROOT / "experiments" / "run_sdw.py"
        process = subprocess.Popen(
            [sys.executable, str(script), *FLAGS, *flags, f"--out={out}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        with process:  # Which closes its pipes.
            process.kill()


def finish(process):
    """What a process said, and that it ended well."""
    said, complaints = process.communicate(timeout=300)
    assert process.returncode == 0, complaints
    return said, complaints


def lines_of(out):
    """Complete lines of the metrics so far."""
    path = out / "metrics.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(True) if line.endswith("\n")]


def without_clocks(records):
    return [{k: v for k, v in r.items() if k not in ("seconds", "eta_seconds")} for r in records]


def assert_same_run(out, whole):
    assert without_clocks(lines_of(out)) == without_clocks(lines_of(whole))
    with np.load(out / "distilled.npz") as found, np.load(whole / "distilled.npz") as expected:
        for name in set(expected.files) - {"card"}:
            assert found[name].tobytes() == expected[name].tobytes(), name
    found, expected = (json.loads((run / "results.json").read_text()) for run in (out, whole))
    for name in ("returns", "loss", "outer_steps", "density", "objective"):
        assert found[name] == expected[name], name
    assert sorted(file.name for file in out.iterdir()) == sorted(
        file.name for file in whole.iterdir()
    )


def wait_for_step(process, out, step):
    """Wait until so much of distillation is done."""
    while not any("loss" in record and record["step"] >= step for record in lines_of(out)):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@pytest.fixture(scope="module")
def whole(start, tmp_path_factory):
    """Folder of a run that never stopped."""
    out = tmp_path_factory.mktemp("whole") / "run"
    finish(start(out))
    return out


def kill_at_random(start, out, steps, kills, *flags):
    """Kill a run at random moments, starting it again each time; seconds of distillation lost."""
    moments, lost = random.Random(kills), []
    for step in sorted(moments.sample(range(steps * 3 // 4), kills)):
        process = start(out, *flags)
        # One time in four it is killed before it distils, or soon after.
        if moments.random() < 0.25:
            time.sleep(moments.uniform(0, 4))
        else:
            wait_for_step(process, out, step)
            time.sleep(moments.uniform(0, 0.1))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL  # It had not come to its end.
        saved = [int(path.name) for path in out.glob("checkpoints/distil/*") if path.name.isdigit()]
        # From the first steps beyond the checkpoint, whose seconds may be those of compilation.
        beyond = [r["seconds"] for r in lines_of(out) if r["step"] > max(saved, default=0)]
        lost.append(max(beyond) - min(beyond) if beyond else 0.0)
    finish(start(out, *flags))
    return lost


def test_a_run_killed_at_random_moments_equals_the_one_that_never_stopped(start, whole, tmp_path):
    kill_at_random(start, tmp_path / "run", STEPS, 2)
    assert_same_run(tmp_path / "run", whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("steps", "flags"),
    [
        (6000, ["--outer_steps=6000"]),
        (2000, ["--outer_steps=2000", "--student=kernel", "--density=maf", "--density_epochs=2"]),
        (6000, ["--narrow_widths=4,8", "--narrow_steps=2000,2000", "--outer_steps=2000"]),
    ],
    ids=["mlp", "kernel and maf", "stages"],
)
def test_a_run_killed_ten_times_equals_the_one_that_never_stopped(start, tmp_path, steps, flags):
    whole = tmp_path / "whole"
    finish(start(whole, *flags))
    lost = kill_at_random(start, tmp_path / "run", steps, 10, *flags)
    print("seconds of distillation lost:", *(f"{each:.2f}" for each in lost))
    assert_same_run(tmp_path / "run", whole)
    assert max(lost) < INTERVAL + 1  # A busy machine may take as long to write.


def test_a_signal_saves_the_run_and_one_process_at_a_time_resumes(start, whole, tmp_path):
    out = tmp_path / "run"
    process = start(out)
    wait_for_step(process, out, 100)
    process.send_signal(signal.SIGSTOP)  # So that it does not end meanwhile.
    other = start(out)
    _, said = other.communicate(timeout=300)
    assert (other.returncode, said) == (2, f"error: another process is at work in {out}\n")
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 75, said  # EX_TEMPFAIL of sysexits.h.
    assert said.endswith("stopped by SIGTERM\n")
    stopped = lines_of(out)[-1]["step"]
    assert max(int(path.name) for path in (out / "checkpoints/distil").iterdir()) == stopped

    other = start(out, "--seed=1")
    _, said = other.communicate(timeout=300)
    assert (other.returncode, said) == (2, f"error: --seed is 1, the run in {out} has 0\n")

    process = start(out)
    wait_for_step(process, out, stopped + 10)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 130, said
    assert f"resumes from step {stopped} in {out}" in said
    *_, command, last = said.splitlines()
    assert last == "interrupted"
    assert shlex.split(command.removeprefix("to resume: ")) == process.args

    # The newest checkpoint is damaged.
    newest = max(int(path.name) for path in (out / "checkpoints/distil").iterdir())
    for path in (out / "checkpoints/distil" / str(newest) / "state/d").iterdir():
        path.write_bytes(path.read_bytes()[:-9])
    _, said = finish(start(out))
    assert f"checkpoints/distil/{newest} is damaged" in said
    assert "using the previous checkpoint" in said
    assert_same_run(out, whole)


def test_a_full_disk_ends_the_run_and_what_is_saved_resumes(start, whole, mount, tmp_path):
    """Or else a file that may not grow, where only root could mount a small disk."""
    disk = mount("size=3m")
    out, filler = (disk or tmp_path) / "run", (disk or tmp_path) / "filler"
    process = start(out)
    wait_for_step(process, out, 200)
    if disk:
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1000))
    else:
        size = (out / "metrics.jsonl").stat().st_size
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    _, said = process.communicate(timeout=300)
    assert process.returncode == 1, said
    assert re.search(r"to resume: .*--out=.*\nerror: .*(No space left|too large)", said)
    filler.unlink(missing_ok=True)
    _, said = finish(start(out))
    assert "resumes from step" in said
    assert_same_run(out, whole)
