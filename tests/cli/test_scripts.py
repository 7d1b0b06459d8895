"""The scripts in processes of their own: what they print, and how they refuse bad input.

In tests/pipeline, `run_sdw.py` is run whole by test_resume.py, `run_population.py` by
test_population.py, and `render_policy.py` by test_render.py.
"""

import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

from obd_jax import artefacts, students, teachers
from obd_jax.types import Normalizer, SyntheticData
from tests.teachers.checkpoints import Checkpoint, write_stats

ROOT = pathlib.Path(__file__).resolve().parents[2]


def script(file, *arguments):
    (path,) = (ROOT / "experiments").rglob(file)
    return subprocess.run(
        [sys.executable, str(path), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )


SCRIPTS = {
    "missing file": ("run_sdw.py", ["--dataset_path=/absent.hdf5", "--env=hopper"], "/absent.hdf5"),
    "unknown objective": ("run_sdw.py", ["--dataset=toy", "--objective=bc"], "'bc'; known: dbc"),
    "no list of integers": ("run_sdw.py", ["--dataset=toy", "--hidden_sizes=a"], "--hidden_sizes"),
    "missing set": ("evaluate_synthetic.py", ["--path=/absent.npz"], "/absent.npz"),
    "one seed of many": (
        "run_population.py",
        ["--dataset=toy", "--seed=3"],
        "a population takes --seeds, not --seed",
    ),
    "two temperatures": (
        "run_population.py",
        ["--temperature=0", "--temperatures=0,1"],
        "a population takes --temperatures, not --temperature",
    ),
    "no data to train on": ("train_teacher.py", [], "give either --dataset or --dataset_path"),
    "an algorithm that there is not": (
        "train_teacher.py",
        ["--dataset=toy", "--algorithm=sac"],
        "'sac'; known: rebrac",
    ),
    "nothing to draw": ("render_policy.py", ["--seconds=0"], "--seconds must be positive, got 0"),
    "a lever's own flag": ("levers.py", ["--student=mlp", "--anneal=constant"], "--anneal"),
}


@pytest.mark.parametrize("case", SCRIPTS)
def test_scripts_end_with_one_line_and_exit_code_2(tmp_path, case):
    file, arguments, part = SCRIPTS[case]
    out = tmp_path / "run"
    if case == "missing file":
        Checkpoint(11, 3).write(tmp_path / "teacher.pt")
        write_stats(tmp_path / "stats.json", 11, "hopper-medium-v2")
        arguments = [
            *arguments,
            f"--teacher={tmp_path / 'teacher.pt'}",
            f"--teacher_stats={tmp_path / 'stats.json'}",
            "--teacher_stats_key=hopper-medium-v2",
        ]
    done = script(file, *arguments, f"--out={out}")
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert part in done.stderr
    assert done.stderr.count("\n") == 1
    assert not out.exists()


def test_a_training_needs_a_folder():
    done = script("train_teacher.py", "--dataset=toy")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "error: --out is required\n")


def test_a_teacher_is_trained_and_summed_up(tmp_path):
    out = tmp_path / "teacher"
    done = script(
        "train_teacher.py",
        *("--dataset=toy", "--algorithm=td3_bc", "--options=batch_size=32", "--steps=1000"),
        *("--episodes=2", "--curve_points=1", f"--out={out}"),
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(
        r"teacher \S+ \[\S+, \S+\], normalised return\n"
        r"data    \S+\n"
        r"\d+ updates/s, \d+ s\n"
        rf"written to {out} \(the teacher: teacher\.npz\)\n",
        done.stdout,
    )
    assert teachers.load_teacher(out / "teacher.npz").action_size == 2
    results = json.loads((out / "results.json").read_text())
    assert results["config"] | {"dataset": "toy", "source": "auto"} == results["config"]
    assert sorted(file.name for file in out.iterdir()) == [
        "checkpoints",
        "config.json",
        "curve.csv",
        "results.json",
        "teacher.npz",
    ]


def test_a_set_is_scored_again_and_its_table_printed(tmp_path):
    rng = np.random.default_rng(0)
    pairs = SyntheticData(
        rng.normal(size=(6, 4)).astype(np.float32), rng.uniform(-1, 1, (6, 2)).astype(np.float32)
    )
    normalizer = Normalizer(np.zeros(4, np.float32), np.ones(4, np.float32))
    card = {
        "provenance": {"environment": {"name": "point-mass"}, "seed": 5},
        "student": students.to_card(students.KernelRecipe()),
    }
    path = artefacts.save(tmp_path, artefacts.DistilledSet(pairs, normalizer, card))
    out = tmp_path / "scores.json"
    done = script(
        "evaluate_synthetic.py", f"--path={path}", f"--out={out}", "--episodes=2", "--ridge=0.1"
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    row = found["returns"]["synthetic"]
    head, line, last = done.stdout.splitlines()
    assert head.startswith("normalised return ")
    assert line.split()[:2] == ["synthetic", f"{row['mean']:.1f}"]
    assert last == f"written to {out}"
    assert found["student"] == {**card["student"], "ridge": 0.1, "ensemble": 1}
    assert found["provenance"]["seed"] == 5
    assert row["episodes"] == 20


@pytest.mark.parametrize(
    ("arguments", "noise"),
    [
        ("--student=pool", 0.3),
        ("--student=pool --teacher=none", 0.0),
        ("--student=pool --objective=dbc", 0.0),
        ("--config=transfer --teacher=none", 0.0),
        ("--student=pool --teacher=none --objective=pbc", 0.3),
    ],
)
def test_a_preset_has_noise_on_states_only_with_a_teacher(arguments, noise):
    code = (
        "import sys; from absl import flags; from obd_jax.cli import run; run.define_run_flags(); "
        "flags.FLAGS(sys.argv); print(run.run_settings().distillation.objective.state_noise)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments.split()],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.stdout == f"{noise}\n", done.stderr
