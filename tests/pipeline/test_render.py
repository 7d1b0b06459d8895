"""Pictures of a distilled set's student beside the teacher."""

import contextlib
import os
import pathlib
import re
import subprocess
import sys

import imageio.v3 as imageio
import mujoco
import numpy as np
import pytest

from obd_jax import artefacts, environments, students, teachers
from obd_jax.pipeline import RunSettings
from obd_jax.pipeline import render as rendering
from obd_jax.pipeline.preparation import set_card
from obd_jax.pipeline.render import (
    RenderSettings,
    random_pairs_of_card,
    render,
    teacher_of_card,
)
from obd_jax.pipeline.scores import random_real
from obd_jax.reporting import CONSOLE, SILENT
from obd_jax.settings import from_options, to_options, with_options
from obd_jax.types import InvalidInputError, Normalizer, SyntheticData
from tests.pipeline.toy_runs import prepared_for

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


def run_script(*flags):
    """The command, skipped where there is no OpenGL."""
    done = subprocess.run(
        [sys.executable, SCRIPT, *flags],
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "MUJOCO_GL"},
    )
    if "no OpenGL" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    return done


def test_student_and_teacher_are_drawn_side_by_side(path, tmp_path):
    out = tmp_path / "pictures"
    done = run_script(f"--path={path}", f"--out={out}", "--seconds=0.2")
    assert re.search(r"16 distilled pairs: \S+ \S+ earned\nteacher: \S+ \S+ earned", done.stdout)
    assert [file.name for file in out.iterdir()] == ["episodes.gif"]
    frames = imageio.imread(out / "episodes.gif", index=None)[..., :3]
    height = 2 * rendering.HEIGHT + len(artefacts.heading(["a"], 10))
    assert frames.shape == (5, height, 2 * rendering.WIDTH, 3)
    assert frames.std() > 10
    assert (frames[0] != frames[-1]).any()


def drawing(monkeypatch):
    """Draws nothing; collects what was to be drawn, by name."""
    shown = {}
    monkeypatch.setattr(rendering, "open_renderer", lambda _: contextlib.nullcontext())

    def draw(renderer, task, policies, reporter):
        shown.update(policies)
        return [np.zeros((10, 10, 3), np.uint8)]

    monkeypatch.setattr(rendering, "draw", draw)
    return shown


def test_an_episode_of_a_number_is_the_same_in_any_film(path, tmp_path, monkeypatch):
    shown = drawing(monkeypatch)
    settings = RenderSettings(path=str(path), out=str(tmp_path / "a"), episodes=3, seconds=0.2)
    render(settings, SILENT)
    three = shown["16 distilled pairs"]
    render(with_options(settings, out=str(tmp_path / "b"), episodes=1, first=2), SILENT)
    (one,) = shown["16 distilled pairs"]
    np.testing.assert_array_equal(one.positions, three[2].positions)
    assert one.earned == three[2].earned != three[1].earned
    assert one.ended == three[2].ended


def test_every_episode_is_reported(path, tmp_path, monkeypatch):
    drawing(monkeypatch)
    settings = RenderSettings(path=str(path), out=str(tmp_path / "a"), episodes=2, seconds=0.2)
    reports = []
    reporter = SILENT._replace(
        progress=lambda label: lambda done, total, **_: reports.append((label, done, total))
    )
    render(settings, reporter)
    for name in ("16 distilled pairs", "teacher"):
        for done in (1, 2):
            assert (f"roll out {name}, episode", done, 2) in reports


def test_an_episode_that_ends_says_when(path, tmp_path, monkeypatch):
    shown = drawing(monkeypatch)
    settings = RenderSettings(path=str(path), out=str(tmp_path / "a"), episodes=1, seconds=8.0)
    render(settings, SILENT)
    (episode,) = shown["16 distilled pairs"]
    assert 0 < episode.ended < 8
    assert len(episode.positions) == pytest.approx(20 * episode.ended, abs=2)


def test_random_pairs_are_those_that_the_run_was_compared_with(tmp_path, monkeypatch):
    settings = from_options(
        RunSettings,
        {"dataset": "hopper-random", "source": "embedded", "data_rows": 400, "temperature": 0.0},
    )
    prepared = prepared_for(settings)
    set_of_run = set_card(prepared, to_options(settings), "av_pbc", None, seed=0)
    found = random_pairs_of_card(set_of_run, 16, SILENT)
    expected = random_real(16, prepared)
    np.testing.assert_array_equal(found.observations, expected.observations)
    np.testing.assert_array_equal(found.actions, expected.actions)

    set_of_run["provenance"]["data"]["sha256"] = "0"
    with pytest.raises(InvalidInputError, match=r"the data, .*, are not those of the set"):
        random_pairs_of_card(set_of_run, 16, SILENT)
    with pytest.raises(InvalidInputError, match="random_pairs: the card names no data"):
        random_pairs_of_card(card(), 16, SILENT)


def test_without_opengl_it_says_so_before_it_rolls_out(path, tmp_path, monkeypatch):
    def absent(*_):
        raise mujoco.FatalError("no context")

    monkeypatch.setattr(mujoco, "Renderer", absent)
    monkeypatch.setattr(rendering, "roll_out", None)
    settings = RenderSettings(path=str(path), out=str(tmp_path / "pictures"))
    with pytest.raises(InvalidInputError, match=r"no OpenGL to draw the GIF with .*no context"):
        render(settings, SILENT)
    assert not (tmp_path / "pictures").exists()


def test_a_task_without_a_model_of_mujoco_is_refused():
    with (
        environments.make(environments.get("Pendulum-v1")) as made,
        pytest.raises(InvalidInputError, match="Pendulum-v1 is no task of MuJoCo"),
    ):
        rendering.open_renderer(made.unwrapped)


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
        ({"first": -1}, "^first must be at least 0, got -1"),
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
