"""`import obd_jax`: quick, complete by attribute, and without what a room does not need."""

import json
import pathlib
import shutil
import subprocess
import sys
import types

import pytest

import obd_jax

# What simulators, plots, recorders, checkpoints and services need: imported when they are used.
HEAVY = (
    "brax",
    "gymnasium",
    "imageio",
    "joblib",
    "matplotlib",
    "minari",
    "mujoco",
    "orbax",
    "scipy.stats",
    "tensorboardX",
    "wandb",
)
PROGRAM = f"""
import json, sys, time
before = set(sys.modules)
start = time.perf_counter()
import obd_jax
seconds = time.perf_counter() - start
alone = sorted(set(sys.modules) - before)
for name in dir(obd_jax):
    getattr(obd_jax, name)
loaded = [name for name in {HEAVY!r} if name in sys.modules]
print(json.dumps([seconds, alone, loaded]))
"""


@pytest.fixture(scope="module")
def fresh():
    """In a new process: seconds and modules of `import obd_jax`, heavy modules of all rooms."""
    process = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


def test_importing_the_package_takes_no_time_and_imports_no_other(fresh):
    seconds, alone, _ = fresh
    assert seconds < 0.3
    assert "obd_jax" in alone
    assert not {"jax", "numpy", *HEAVY} & set(alone)


def test_no_room_imports_a_simulator_or_a_service_before_it_is_used(fresh):
    _, _, loaded = fresh
    assert loaded == []


@pytest.mark.parametrize("name", [name for name in dir(obd_jax) if name != "__version__"])
def test_every_public_name_is_there_by_attribute(name):
    found = getattr(obd_jax, name)
    is_room = isinstance(found, types.ModuleType)
    assert found.__name__ == f"obd_jax.{name}" if is_room else callable(found)


def test_names_are_those_listed():
    assert dir(obd_jax) == sorted(obd_jax.__all__)
    assert {"data", "distill", "pipeline", "Problem", "load_distilled"} <= set(dir(obd_jax))


def test_other_names_are_refused():
    with pytest.raises(AttributeError, match="module 'obd_jax' has no attribute 'behavior'"):
        _ = obd_jax.behavior
    assert not hasattr(obd_jax, "distil")


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_git_ignores_no_file_of_the_source():
    root = pathlib.Path(obd_jax.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        pytest.skip("this is no checkout")
    files = [
        str(path.relative_to(root))
        for folder in ("obd_jax", "tests")
        for path in (root / folder).rglob("*.py")
    ]
    found = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin"],
        input="\n".join(files),
        capture_output=True,
        text=True,
        cwd=root,
    )
    assert found.stdout == ""
