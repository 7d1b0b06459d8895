"""Pictures of a distilled set's student beside the teacher."""

import os
import pathlib
import re
import subprocess
import sys

import imageio.v3 as imageio
import mujoco
import numpy as np
import pytest

from obd_jax import artefacts, students, teachers
from obd_jax.pipeline import render as rendering
from obd_jax.pipeline.render import RenderSettings, render, teacher_of_card
from obd_jax.reporting import CONSOLE, SILENT
from obd_jax.settings import with_options
from obd_jax.types import InvalidInputError, Normalizer, SyntheticData

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "experiments" / "render_policy.py"
STUDENT = students.KernelRecipe("ntk", 3, 0.3, 1e-3, 1.0)


def card(**teacher):
    made = teachers.behavior_teacher("hopper").provenance
    recorded = {"source": made.source, "name": made.name, "sha256": made.sha256, **teacher}
    return {
        "provenance": {"environment": {"name": "hopper"}, "teacher": recorded, "seed": 0},
        "student": students.to_card(STUDENT),
    }


@pytest.fixture
def path(tmp_path):
    rng = np.random.default_rng(0)
    pairs = SyntheticData(
        rng.normal(size=(16, 11)).astype(np.float32),
        rng.uniform(-1, 1, (16, 3)).astype(np.float32),
    )
    normalizer = Normalizer(np.zeros(11, np.float32), np.ones(11, np.float32))
    (tmp_path / "run").mkdir()
    return artefacts.save(tmp_path / "run", artefacts.DistilledSet(pairs, normalizer, card()))


def test_student_and_teacher_are_drawn_side_by_side(path, tmp_path):
    out = tmp_path / "pictures"
    done = subprocess.run(
        [sys.executable, SCRIPT, f"--path={path}", f"--out={out}", "--episodes=2", "--seconds=0.2"],
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "MUJOCO_GL"},
    )
    if "no OpenGL" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    assert re.search(r"student: \S+ \S+ earned\nteacher: \S+ \S+ earned", done.stdout)
    assert sorted(file.name for file in out.iterdir()) == [
        "episodes.gif",
        "student.html",
        "teacher.html",
    ]
    frames = imageio.imread(out / "episodes.gif", index=None)
    assert frames.shape == (5, 2 * rendering.HEIGHT, 2 * rendering.WIDTH, 3)
    assert frames.std() > 10
    assert (frames[0] != frames[-1]).any()


def test_without_opengl_it_says_so_and_the_pages_are_there(path, tmp_path, monkeypatch):
    def absent(*_):
        raise mujoco.FatalError("no context")

    monkeypatch.setattr(mujoco, "Renderer", absent)
    out = tmp_path / "pictures"
    settings = RenderSettings(path=str(path), out=str(out), episodes=1, seconds=0.1)
    with pytest.raises(InvalidInputError, match=r"no OpenGL to draw the GIF with .*no context"):
        render(settings, SILENT)
    for name in ("student", "teacher"):
        assert "<html>" in (out / f"{name}.html").read_text()


def test_the_teacher_is_the_one_of_the_card_or_none(capsys):
    found = teacher_of_card(card(), CONSOLE)
    assert found is not None
    assert found.provenance == teachers.behavior_teacher("hopper").provenance
    for changes in ({"sha256": "0"}, {"source": "teacher by rebrac", "name": "/absent.npz"}):
        assert teacher_of_card(card(**changes), CONSOLE) is None
        assert "the teacher is not shown" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"path": None}, "^path, the distilled set, and out, a folder, are required"),
        ({"episodes": 0}, "^episodes must be positive, got 0"),
        ({"seconds": 0.0}, "^seconds must be positive, got 0"),
        ({"out": None}, "are required"),
        ({"student": "tree"}, "unknown student 'tree'; known: kernel, mlp"),
        ({"path": "/absent.npz"}, "no distilled set at /absent.npz"),
    ],
)
def test_unusable_options_are_refused(path, tmp_path, changes, message):
    values = {"path": str(path), "out": str(tmp_path / "pictures"), **changes}
    with pytest.raises(InvalidInputError, match=message):
        render(with_options(RenderSettings(), **values), SILENT)
    assert not (tmp_path / "pictures").exists()


def test_a_folder_that_holds_files_is_refused(path):
    message = f"^out {path.parent} is not a new or empty folder$"
    with pytest.raises(InvalidInputError, match=message):
        render(RenderSettings(path=str(path), out=str(path.parent)), SILENT)
