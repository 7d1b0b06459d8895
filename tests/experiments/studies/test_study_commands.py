"""The scripts of the studies as commands: what cannot be used is one line, and nothing is made."""

import pathlib
import subprocess
import sys

import pytest

STUDIES = pathlib.Path(__file__).parents[3] / "experiments/studies"


def command(folder, script, *arguments):
    """A finished process of a script, in a folder."""
    return subprocess.run(
        [sys.executable, str(STUDIES / script), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
    )


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("sweep.py", ["--vary=hidden_sizes=3"], "--vary takes setting=value,value,...; got"),
        ("sweep.py", ["--ridge=0.1", "--student=mlp"], "--ridge is for --student=kernel or"),
        ("sweep.py", ["--seeds=many"], "--seeds takes integers separated by commas, got many"),
        ("search.py", ["--outer_steps=5"], "--outer_steps cannot be given: this script sets"),
        ("levers.py", ["--student=mlp", "--anneal=constant"], "--anneal cannot be given: this"),
        ("diversity.py", ["--points=15"], "--points must be multiples of ten, got (15,)"),
        ("generalize.py", [], "--sets is required"),
    ],
)
def test_bad_input_is_one_line(tmp_path, script, arguments, message):
    done = command(tmp_path, script, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {message}")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_document_of_the_studies_is_a_command(tmp_path):
    results, out = STUDIES.parents[1] / "docs/results", tmp_path / "studies.md"
    done = command(tmp_path, "studies_table.py", f"--results={results}", f"--out={out}")
    assert done.stdout == f"written to {out}\n"
    assert out.read_text() == (results.parent / "studies.md").read_text()
