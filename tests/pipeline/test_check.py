"""The page of `obd-jax check`, and its exit codes."""

import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def check(*arguments):
    script = ROOT / "experiments/check_data.py"
    return subprocess.run(
        [sys.executable, str(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )


def recording(rows=400, **more):
    rng = np.random.default_rng(0)
    return {
        "obs": rng.normal(size=(rows, 3)).astype(np.float32),
        "act": rng.uniform(-1, 1, (rows, 2)),
        "rew": rng.normal(size=rows) + (np.arange(rows) // 100) ** 2,
        "done": np.arange(rows) % 100 == 49,
        "timeout": np.arange(rows) % 100 == 99,
        **more,
    }


def test_a_page_on_good_data_and_exit_code_0(tmp_path):
    path, picture = tmp_path / "my data.npz", tmp_path / "a.png"
    np.savez(path, **recording(), mass=np.zeros(3))
    done = check(path, f"--out={picture}")
    assert (done.returncode, done.stderr) == (0, "")
    page = done.stdout
    lines = page.splitlines()
    assert lines[0] == (f"{path}: npz, 400 rows of 3 observations and 2 actions, 396 transitions")
    assert len(lines) < 50
    assert "  observations       obs" in lines
    assert "  not read           mass" in lines
    assert "8 episodes, which end by" in lines
    assert any(
        line.startswith("  terminal ") and line.endswith(" 4   first in row 49") for line in lines
    )
    assert any(
        line.startswith("  timeout") and line.endswith(" 4   first in row 99") for line in lines
    )
    assert any("50             ######################## 8" in line for line in lines)
    assert "nothing suspicious" in lines
    assert re.search(r"temperature 0\.05: effective share [01]\.\d\d of 396 states, by knn", page)
    assert "those with a third of it or more are distilled" in page
    flags = "--env=none --teacher=td3_bc --teacher_minutes=3"
    command = f"  obd-jax run --dataset_path='{path}' {flags}"
    assert command in lines
    assert lines[-1] == f"written to {picture}"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_suspicious_data_and_exit_code_1(tmp_path):
    path = tmp_path / "log.csv"
    fields = recording(60)
    rows = ["x,y,u,r"]
    rows += [
        f"{x},1.0,{3 * u},0" for x, u in zip(fields["obs"][:, 0], fields["act"][:, 0], strict=True)
    ]
    path.write_text("\n".join(rows))
    columns = "observations:x,y; actions:u; rewards:r"
    done = check(f"--columns={columns}", path)
    assert (done.returncode, done.stderr) == (1, "")
    page = " ".join(done.stdout.split())
    assert "suspicious 1. observations 1 are constant -> they are centred" in page
    assert "2. actions are beyond [-1, 1] by up to" in page
    assert "-> give the bounds that they were" in page
    assert "3. rewards are 0 in every row" in page
    assert f"--columns='{columns}' --env=none --objective=dbc --pairs=59" in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["/absent.hdf5"], "error: /absent.hdf5: cannot be read: No such file or directory\n"),
        ([], "error: one file or folder is needed, got 0\n"),
        (["a", "b"], "error: one file or folder is needed, got 2\n"),
        (["/absent", "--out=a.jpg"], "error: --out is a PNG file, got a.jpg\n"),
    ],
)
def test_what_cannot_be_read_is_one_line_and_exit_code_2(arguments, message):
    done = check(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)


def test_a_picture_that_cannot_be_written_is_one_line(tmp_path):
    np.savez(tmp_path / "data.npz", **recording())
    done = check(tmp_path / "data.npz", f"--out={tmp_path / 'none/a.png'}")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: --out {tmp_path / 'none/a.png'} cannot be written")


def test_single_transitions_have_a_page_without_episodes(tmp_path):
    fields = recording()
    rng = np.random.default_rng(1)
    del fields["timeout"]
    np.savez(tmp_path / "data.npz", next_obs=rng.normal(size=(400, 3)), **fields)
    done = check(tmp_path / "data.npz", f"--out={tmp_path / 'a.png'}")
    assert done.returncode == 1
    assert "single transitions out of order, so episodes are unknown" in done.stdout
    assert (tmp_path / "a.png").exists()
