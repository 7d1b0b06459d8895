"""The console script `obd-jax`: its commands, their help, and runs from saved configurations."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from obd_jax.__main__ import COMMANDS
from obd_jax.pipeline import MemberSettings, RunSettings
from obd_jax.settings import options_of
from tests.pipeline.first_versions import DEFAULTS

RUN = [
    "--dataset=toy",
    "--density=gaussian",
    "--pairs=8",
    "--student=mlp",
    "--hidden_sizes=8",
    "--inner_steps=5",
    "--batch_size=64",
    "--outer_steps=10",
    "--students=1",
    "--episodes=2",
    "--curve_points=0",
]


def console(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "obd_jax", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "JAX_PLATFORMS": "cpu", **environment},
    )


@pytest.mark.parametrize("arguments", [[], ["--help"], ["help"]])
def test_without_a_command_it_lists_those_known(arguments):
    done = console(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    head, _, *lines = done.stdout.splitlines()
    assert head == "obd-jax COMMAND [flags]; obd-jax COMMAND --help lists the flags"
    assert [line.split()[0] for line in lines] == [*COMMANDS]


def test_an_unknown_command_is_refused_with_those_known():
    done = console("runs", "--dataset=toy")
    assert (done.returncode, done.stdout) == (2, "")
    known = "check, run, population, evaluate, export, teacher, render"
    assert done.stderr == f"error: unknown command 'runs'; known: {known}\n"


def sections_of(text):
    """Heading -> flags under it."""
    found = {}
    for line in text.splitlines():
        if line.endswith(":") and not line.startswith(" "):
            heading = line.removesuffix(":")
            found[heading] = []
        elif line.startswith("  --"):
            found[heading].append(line.strip().removeprefix("--"))
    return found


def test_help_of_a_run_lists_all_flags_by_component():
    done = console("run", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Distil an offline RL data set into a few synthetic pairs")
    assert "obd-jax run --dataset=walker2d-medium-expert" in done.stdout
    found = sections_of(done.stdout)
    assert [*found] == [
        "this command",
        "run",
        "data",
        "teacher",
        "objective",
        "density weights",
        "start",
        "student",
        "outer optimisation",
        "distillation",
        "scores",
        "offline evaluation",
    ]
    assert found["this command"] == ["config", "config_file"]
    assert {"ridge", "inner_steps", "narrow_widths"} < {*found["student"]}
    assert found["distillation"] == ["precision"]
    listed = [flag for flags in found.values() for flag in flags]
    assert sorted(listed) == sorted([*options_of(RunSettings), "config", "config_file"])
    assert "For --student=kernel or random_features or pool. Default: 0.01." in " ".join(
        done.stdout.split()
    )


def test_help_of_a_population_lists_its_lists_too():
    done = console("population", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    found = sections_of(done.stdout)
    own = {"config", "config_file", "distributed", *options_of(MemberSettings)}
    assert {*found["this command"]} == own
    assert "ridge" in found["student"]
    listed = {flag for flags in found.values() for flag in flags}
    refused = {"seed", "budget_minutes", "start", "holdout", "curve_points", "fqe_steps"}
    assert listed == {*options_of(RunSettings), *own} - refused


@pytest.mark.parametrize(
    ("command", "flag"),
    [
        ("check", "columns"),
        ("evaluate", "ensemble"),
        ("export", "format"),
        ("teacher", "algorithm"),
        ("render", "seconds"),
    ],
)
def test_help_of_every_other_command(command, flag):
    done = console(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"  --{flag}\n" in done.stdout
    assert f"obd-jax {command} " in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_flag_is_one_line_and_no_traceback(command):
    done = console(command, "--temprature=0.1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: Unknown command line flag 'temprature'")
    assert done.stderr.count("\n") == 1


REFUSED = {
    "of another student": (
        ["--student=mlp", "--ridge=0.1"],
        "--ridge is for --student=kernel or random_features or pool, not mlp",
    ),
    "of another density": (
        ["--density=knn", "--density_epochs=3"],
        "--density_epochs is for --density=maf, not knn",
    ),
    "of the preset's student": (
        ["--config=transfer", "--ridge=0.1"],
        "--ridge is for --student=kernel or random_features or pool, not mlp",
    ),
    "two bases": (
        ["--config=paper", "--config_file=a.json"],
        "give either --config or --config_file",
    ),
    "no file": (
        ["--config_file=/absent.json"],
        "/absent.json is no saved configuration: [Errno 2] No such file or directory: "
        "'/absent.json'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_flags_that_do_not_go_together_are_one_line(tmp_path, case):
    flags, message = REFUSED[case]
    done = console("run", "--dataset=toy", f"--out={tmp_path / 'a'}", *flags)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {message}\n")
    assert not (tmp_path / "a").exists()


def test_a_run_starts_from_a_saved_configuration_even_an_old_one(tmp_path):
    """And `~` is the home folder."""
    environment = {
        "HOME": str(tmp_path),
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "programs"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    done = console("run", *RUN, "--out=~/first", **environment)
    assert done.returncode == 0, done.stderr
    assert f"written to {tmp_path / 'first'} " in done.stdout
    saved = json.loads((tmp_path / "first/config.json").read_text())
    assert "ridge" not in saved
    # The first versions wrote the options of all students, and of all densities.
    old = {**DEFAULTS, **saved, "ridge": 0.5, "density_epochs": 3}
    assert len(old) > len(saved)
    (tmp_path / "old.json").write_text(json.dumps(old))
    done = console("run", "--config_file=~/old.json", "--out=~/again", **environment)
    assert done.returncode == 0, done.stderr
    again = json.loads((tmp_path / "again/config.json").read_text())
    assert again == {**saved, "out": str(tmp_path / "again")}
    with (
        np.load(tmp_path / "first/distilled.npz") as first,
        np.load(tmp_path / "again/distilled.npz") as second,
    ):
        for name in set(first.files) - {"card"}:
            np.testing.assert_array_equal(first[name], second[name])
    results = [
        json.loads((tmp_path / name / "results.json").read_text()) for name in ("first", "again")
    ]
    for name in ("returns", "loss", "outer_steps", "density", "student"):
        assert results[0][name] == results[1][name], name
    # Flags override it; this one is refused, which is quicker to see than a run.
    done = console("run", "--config_file=~/first/config.json", "--pairs=0", **environment)
    assert (done.returncode, done.stderr) == (2, "error: --pairs must be at least 1, got 0\n")


IMPORTS = f"""
import sys
{"; ".join(f"import obd_jax.cli.{name}" for name in COMMANDS)}
print(*sys.modules)
"""


def test_a_command_begins_without_what_only_few_use():
    """SciPy and Matplotlib doubled the time that every command took to begin."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True
    )
    loaded = {*done.stdout.split()}
    assert "jax" in loaded
    assert not {"matplotlib", "scipy.stats", "scipy.signal", "brax", "mujoco", "minari"} & loaded
