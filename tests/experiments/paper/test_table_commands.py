"""The scripts of the papers' table as commands."""

import pathlib
import subprocess
import sys

import pytest

PAPER = pathlib.Path(__file__).parents[3] / "experiments/paper"


def command(folder, script, *arguments):
    """A finished process of a script, in a folder."""
    return subprocess.run(
        [sys.executable, str(PAPER / script), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
    )


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("run_table.py", ["--rows=random,sdq"], "unknown rows 'sdq'; known: random, sdr"),
        (
            "run_table.py",
            ["--together", "--budget_minutes=1"],
            "--together takes no --budget_minutes; give --outer_steps",
        ),
        ("results_table.py", ["--cells=absent"], "no cells in absent; run_table.py makes them"),
        ("check_results.py", ["--cells=absent"], "no cells in absent; run_table.py makes them"),
        ("one_set_table.py", ["--summaries=absent"], "no absent/pool.json; learners.py makes"),
        ("pairs_table.py", ["--cells=absent"], "no cells in absent/studies/pairs; run_table.py"),
    ],
)
def test_bad_input_is_one_line(tmp_path, script, arguments, message):
    done = command(tmp_path, script, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {message}")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_cells_that_exist_are_a_table_and_a_document(tmp_path):
    cells, out = PAPER.parents[1] / "docs/results", tmp_path / "results.md"
    asked = ("--datasets=hopper-medium", "--rows=sdr,teacher", "--families=kernel")
    done = command(tmp_path, "run_table.py", f"--out={cells}", *asked)
    assert (done.returncode, done.stdout) == (0, f"0 new cells in {cells}\n"), done.stderr
    done = command(tmp_path, "results_table.py", f"--cells={cells}", f"--out={out}")
    assert done.stdout == f"written to {out}\n"
    assert out.read_text() == (cells.parent / "results.md").read_text()
    out = tmp_path / "pairs.md"
    done = command(tmp_path, "pairs_table.py", f"--cells={cells}", f"--out={out}")
    assert done.stdout == f"written to {out}\n"
    assert out.read_text() == (cells.parent / "pairs.md").read_text()
