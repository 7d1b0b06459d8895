"""Checkpoints: what is saved comes back, the newest stay, damage and full disks are survived."""

import json
import pathlib
import shutil
import subprocess
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from obd_jax.runs import Checkpoints
from obd_jax.types import InvalidInputError


class State(NamedTuple):
    weights: dict
    key: jax.Array
    step: jax.Array


def state(step=7, size=300):
    kernel = jax.random.normal(jax.random.key(step), (20, size))
    return State({"kernel": kernel}, jax.random.key(step), jnp.asarray(step, jnp.int32))


ROOT = pathlib.Path(__file__).resolve().parents[2]
# What a checkpoint consists of.
PARTS = {"arrays": "state/ocdbt.process_0/d", "index": "state/d", "record": "content"}

LIKE = jax.eval_shape(state)


def assert_same(found, expected):
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        if jnp.issubdtype(one.dtype, jax.dtypes.prng_key):
            one, other = jax.random.key_data(one), jax.random.key_data(other)
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder with checkpoints of the steps 1 to 3."""
    folder = tmp_path_factory.mktemp("made") / "saved"
    with Checkpoints(folder, pytest.fail) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, state(step), {"seconds": step / 3})
    return folder


@pytest.fixture
def folder(made, tmp_path):
    """A copy of it, to do with as one likes."""
    return shutil.copytree(made, tmp_path / "saved")


def restored(folder, like=LIKE):
    """What is found in a folder, and what is said of it."""
    notes = []
    with Checkpoints(folder, notes.append) as checkpoints:
        return checkpoints.restore_latest(like), notes


def steps_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("like", [LIKE, state()], ids=["shapes", "arrays"])
def test_the_newest_comes_back_keys_and_notes_among_it(folder, like):
    found, notes = restored(folder, like)
    assert (found.step, found.notes, notes) == (3, {"seconds": 1.0}, [])
    assert_same(found.state, state(3))
    assert isinstance(found.state, State)


def test_a_program_serves_what_came_back(folder):
    traces = []

    @jax.jit
    def update(state):
        traces.append(1)
        return state.step + 1

    update(state(3))
    assert update(restored(folder)[0].state) == 4
    assert len(traces) == 1


def test_an_empty_folder_has_none(tmp_path):
    assert restored(tmp_path / "new") == (None, [])


def test_the_newest_few_are_kept(folder):
    with Checkpoints(folder, pytest.fail, keep=2) as checkpoints:
        checkpoints.save(4, state(4), {})
        checkpoints.save(4, state(5), {})  # Left out, as that step is there.
    assert steps_in(folder) == ["3", "4"]
    assert_same(restored(folder)[0].state, state(4))


def test_notes_alone_can_be_saved(tmp_path):
    with Checkpoints(tmp_path, pytest.fail) as checkpoints:
        checkpoints.save(0, None, {"rows": [1.5, None]})
    found, _ = restored(tmp_path, None)
    assert (found.state, found.notes) == (None, {"rows": [1.5, None]})


def test_what_was_being_written_when_the_process_died_is_no_checkpoint(folder):
    (folder / "4.orbax-checkpoint-tmp" / "state").mkdir(parents=True)
    assert restored(folder)[0].step == 3
    assert steps_in(folder) == ["1", "2", "3"]


# Restores from folders with a damaged checkpoint. In a process of its own: the storage library
# drops what it reads beside a damaged file, and Python may complain of that at any later time.
RESTORING = """
import json, pathlib, sys
from obd_jax.runs import Checkpoints
from obd_jax.types import InvalidInputError
from tests.runs.test_checkpoints import LIKE, assert_same, state

for folder in map(pathlib.Path, sys.argv[1:]):
    notes = []
    with Checkpoints(folder, notes.append) as checkpoints:
        try:
            found = checkpoints.restore_latest(LIKE)
            assert_same(found.state, state(found.step))
            answer = [found.step, found.notes]
        except InvalidInputError as error:
            answer = str(error)
    print(json.dumps([answer, notes, sorted(path.name for path in folder.iterdir())]))
"""


def damage(checkpoint, kind):
    """Harm the files that `kind` names, as it says."""
    what, how = kind.split()
    for path in (checkpoint / PARTS[what]).iterdir():
        content = bytearray(path.read_bytes())
        if how == "changed":
            content[len(content) // 2] ^= 1
        path.write_bytes(content[: len(content) // 2] if how == "cut" else content)
        if how == "gone":
            path.unlink()


def test_damaged_ones_are_told_of_and_the_one_before_taken(made, tmp_path):
    kinds = [f"{what} {how}" for what in PARTS for how in ("changed", "cut", "gone")]
    folders = {kind: shutil.copytree(made, tmp_path / kind) for kind in (*kinds, "all")}
    for kind in kinds:
        damage(folders[kind] / "3", kind)
    for step in "123":
        damage(folders["all"] / step, "index cut")
    done = subprocess.run(
        [sys.executable, "-c", RESTORING, *map(str, folders.values())],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    for kind, (answer, notes, left) in zip(folders, answers, strict=True):
        folder = folders[kind]
        if kind == "all":
            # Nothing is removed: the user decides.
            assert answer == f"no checkpoint in {folder} can be read; remove them to restart"
            assert (len(notes), left) == (3, ["1", "2", "3"])
            continue
        assert answer == [2, {"seconds": 2 / 3}], kind
        assert f"{folder / '3'} is damaged: " in notes[0]
        assert notes[1:] == [f"using the previous checkpoint, {folder / '2'}"]
        assert left == ["1", "2"]  # So that the step can be saved again.


def test_a_state_of_another_form_is_refused(folder):
    with pytest.raises(InvalidInputError, match="3 is for another algorithm or other data"):
        restored(folder, jax.eval_shape(lambda: state(size=4)))
    assert steps_in(folder) == ["1", "2", "3"]


# Saves step after step; a file of the third is not written whole.
FAILING = """
import pathlib, resource, sys
import jax
from obd_jax.runs import Checkpoints

folder, fault = pathlib.Path(sys.argv[1]), sys.argv[2]
filler = folder.parent / "filler"

def break_disk():
    if fault == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
    else:
        try:
            with filler.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(1000))
        except OSError:
            pass

def mend_disk():
    if fault == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    else:
        filler.unlink()

with Checkpoints(folder, print) as checkpoints:
    for step in range(1, 7):
        if step == 3:
            break_disk()
        if step == 5:
            mend_disk()
        checkpoints.save(step, jax.random.normal(jax.random.key(step), (300, 20)), {})
        checkpoints.wait()
        print("steps", *sorted(path.name for path in folder.iterdir() if path.name.isdigit()))
"""


def test_a_checkpoint_that_cannot_be_written_is_told_of_and_costs_nothing_else(mount, tmp_path):
    """Of a full disk, or else where no file may be above a size."""
    disk = mount("size=500k")
    folder, fault = (disk or tmp_path) / "saved", "full" if disk else "limit"
    done = subprocess.run(
        [sys.executable, "-c", FAILING, str(folder), fault],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    failures = [line for line in said if not line.startswith("steps")]
    for step, line in zip((3, 4), failures, strict=True):
        assert f"{folder / str(step)} could not be written; earlier ones are kept: " in line
        assert ("too large" if fault == "limit" else "No space left") in line
    kept = [line.split()[1:] for line in said if line.startswith("steps")]
    assert kept == [["1"], *[["1", "2"]] * 3, ["1", "2", "5"], ["2", "5", "6"]]
