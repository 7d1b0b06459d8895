"""Run folders."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from obd_jax.runs import (
    RunFolder,
    check_same,
    lock,
    read_result,
    record_inputs,
    refuse_unusable,
    write_csv,
    write_json,
)
from obd_jax.settings import OptionError
from obd_jax.types import InvalidInputError

CONFIG = {"out": "a", "seed": 0, "hidden_sizes": (8, 8), "objective": None}
INPUTS = {"SHA-256 of the data": "00ff"}


def refuse(path, **changes):
    refuse_unusable(path, {**CONFIG, **changes})


def open_folder(path, inputs=INPUTS, **changes):
    return RunFolder(path, {**CONFIG, **changes}, inputs)


@pytest.fixture
def unfinished(tmp_path):
    """Folder of a run that ended after three steps."""
    with open_folder(tmp_path / "run") as folder:
        for step in range(4):
            folder.add_metrics({"step": step})
    return tmp_path / "run"


def names_in(path):
    return sorted(file.name for file in path.iterdir())


@pytest.mark.parametrize("kind", ["new", "nested", "empty"])
def test_a_new_or_empty_folder_is_accepted_and_left_alone(tmp_path, kind):
    path = {"new": tmp_path / "a", "nested": tmp_path / "a" / "b", "empty": tmp_path}[kind]
    refuse(path)
    assert not list(tmp_path.iterdir())
    with open_folder(path):
        pass
    assert names_in(path) == ["checkpoints", "config.json", "metrics.jsonl"]


def test_a_relative_path_is_accepted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refuse(pathlib.Path("runs/1"))


def test_an_unfinished_run_resumes_and_its_place_may_be_spelled_otherwise(unfinished):
    refuse(unfinished, out="./a")
    with open_folder(unfinished, out="./a", hidden_sizes=[8, 8]) as folder:
        folder.add_metrics({"step": 4})
    lines = (unfinished / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 1, 2, 3, 4]
    assert json.loads((unfinished / "config.json").read_text())["out"] == "a"


@pytest.mark.parametrize("begin", [refuse, open_folder])
def test_a_run_of_other_settings_is_refused_naming_them(unfinished, begin):
    with pytest.raises(OptionError) as error:
        begin(unfinished, seed=1, objective="pbc", new=3)
    assert error.value.spelled("--") == "; ".join(
        f"--{name} is {given}, the run in {unfinished} has {found}"
        for name, given, found in (("seed", 1, 0), ("objective", "pbc", None), ("new", 3, None))
    )
    assert str(error.value) == error.value.spelled("--").replace("--", "")


@pytest.mark.parametrize("begin", [refuse, open_folder])
def test_settings_that_may_differ_are_those_said_to(unfinished, begin):
    if begin is refuse:
        refuse_unusable(unfinished, {**CONFIG, "seed": 1}, ("out", "seed"))
    else:
        with RunFolder(unfinished, {**CONFIG, "seed": 1}, INPUTS, ("out", "seed")):
            pass
    with pytest.raises(InvalidInputError, match=r"^out is b, the run in .* has a$"):
        refuse_unusable(unfinished, {**CONFIG, "out": "b"}, ())


def test_a_run_on_other_data_is_refused(unfinished):
    with pytest.raises(
        InvalidInputError, match=f"^SHA-256 of the data is x, the run in {unfinished}"
    ):
        open_folder(unfinished, {"SHA-256 of the data": "x"})
    open_folder(unfinished).__exit__()  # It was not left locked.


def test_damaged_settings_are_told_of(unfinished):
    (unfinished / "config.json").write_text("{")
    with pytest.raises(InvalidInputError, match=r"config\.json is damaged"):
        refuse(unfinished)


@pytest.mark.parametrize("begin", [refuse, open_folder])
def test_a_finished_run_is_refused_and_left_alone(unfinished, begin):
    with open_folder(unfinished) as folder:
        folder.finish({"returns": {}})
    expected = ["config.json", "metrics.jsonl", "results.json"]
    assert names_in(unfinished) == expected
    with pytest.raises(InvalidInputError, match=f"{unfinished} already holds a finished run"):
        begin(unfinished)
    assert names_in(unfinished) == expected


@pytest.mark.parametrize("begin", [refuse, open_folder])
@pytest.mark.parametrize("name", ["thesis.tex", "distilled.npz"])
def test_a_folder_that_holds_other_files_is_refused_and_left_alone(tmp_path, begin, name):
    (tmp_path / name).touch()
    with pytest.raises(InvalidInputError, match=f"already holds other files, {name}; give a new"):
        begin(tmp_path)
    assert names_in(tmp_path) == [name]


# Holds a folder until it is killed.
HOLDING = """
import pathlib, sys, time
from obd_jax.runs import RunFolder

with RunFolder(pathlib.Path(sys.argv[1]), {}, {}):
    print("holds it", flush=True)
    time.sleep(300)
"""


def test_one_process_at_a_time_is_at_work_in_a_folder_until_it_is_killed(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "holds it\n"
        for begin in (refuse_unusable, lambda path, config: RunFolder(path, config, {})):
            with pytest.raises(
                InvalidInputError, match=f"another process is at work in {tmp_path}"
            ):
                begin(tmp_path, {})
        process.kill()
    with RunFolder(tmp_path, {}, {}):
        pass


@pytest.mark.parametrize("begin", [refuse, open_folder])
def test_a_file_is_refused(tmp_path, begin):
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(InvalidInputError, match="is a file"):
        begin(path)
    with pytest.raises(InvalidInputError, match=f"cannot be written .{path} is not writable"):
        begin(path / "run")


@pytest.mark.parametrize("begin", [refuse, open_folder])
def test_a_read_only_folder_is_refused(mount, tmp_path, begin):
    # Permissions do not stop root, and a read-only file system does.
    folder = mount("ro")
    if folder is None and not os.geteuid():
        pytest.skip("root cannot mount a file system here")
    if folder is None:
        folder = tmp_path / "folder"
        folder.mkdir(mode=0o500)
    for path in (folder, folder / "a" / "b"):
        with pytest.raises(InvalidInputError, match=f"{folder} is not writable"):
            begin(path)


def test_a_folder_that_cannot_be_made_after_all_is_refused(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pathlib.Path, "mkdir", fail)
    with pytest.raises(InvalidInputError, match=r"cannot be written: .*No space left"):
        open_folder(tmp_path / "a")


def test_metrics_beyond_a_step_are_dropped(unfinished):
    with (unfinished / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "ret')
    with open_folder(unfinished) as folder:
        assert folder.cut_metrics(2) == [{"step": 0}, {"step": 1}, {"step": 2}]
        folder.add_metrics({"step": 3})
        folder.sync_metrics()
        assert folder.cut_metrics(3)[-1] == {"step": 3}
        with pytest.raises(InvalidInputError, match=r"metrics\.jsonl lacks lines up to step 5"):
            folder.cut_metrics(5)
        assert len(folder.cut_metrics(3)) == 4
        assert folder.cut_metrics(-1) == []
    assert (unfinished / "metrics.jsonl").read_text() == ""


def test_json_files_appear_whole_or_not_at_all(tmp_path):
    path = tmp_path / "results.json"
    write_json(path, {"a": [1, None]})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("nan")})
    with pytest.raises(TypeError):
        write_json(tmp_path / "other.json", {"a": object()})
    assert json.loads(path.read_text()) == {"a": [1, None]}
    assert names_in(tmp_path) == ["results.json"]


def test_a_file_that_fails_to_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    write_json(path, {"a": 1})

    def fail(path, _):
        path.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(pathlib.Path, "write_text", fail)
    with pytest.raises(OSError, match="no space left"):
        write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}


def test_metrics_are_lines_that_can_be_read_while_the_run_works(tmp_path):
    with open_folder(tmp_path) as folder:
        for step in range(3):
            folder.add_metrics({"step": step})
            lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
            assert [json.loads(line)["step"] for line in lines] == list(range(step + 1))


def test_input_that_is_refused_at_last_leaves_nothing_of_a_new_run(tmp_path):
    with pytest.raises(InvalidInputError, match="useless"), open_folder(tmp_path / "a"):
        raise InvalidInputError("useless")
    assert names_in(tmp_path / "a") == []
    with open_folder(tmp_path / "a", seed=5):
        pass


def test_what_others_left_outlives_input_that_is_refused(tmp_path):
    (tmp_path / "checkpoints" / "distil").mkdir(parents=True)
    with pytest.raises(InvalidInputError, match="useless"), open_folder(tmp_path):
        raise InvalidInputError("useless")
    assert (tmp_path / "checkpoints" / "distil").exists()


@pytest.mark.parametrize("keep", [2, -1])
def test_what_a_run_has_made_outlives_input_that_is_refused(unfinished, keep):
    with open_folder(unfinished) as folder:
        folder.cut_metrics(keep)
    with pytest.raises(InvalidInputError, match="useless"), open_folder(unfinished):
        raise InvalidInputError("useless")
    assert names_in(unfinished) == ["checkpoints", "config.json", "metrics.jsonl"]


def test_metrics_of_a_new_run_outlive_input_that_is_refused(tmp_path):
    def begin():
        with open_folder(tmp_path) as folder:
            folder.add_metrics({"step": 0})
            raise InvalidInputError("useless")

    with pytest.raises(InvalidInputError, match="useless"):
        begin()
    assert names_in(tmp_path) == ["checkpoints", "config.json", "metrics.jsonl"]


def test_settings_are_compared_with_those_of_the_work_there(tmp_path):
    check_same(tmp_path, "config.json", {"seed": 1})  # There are none.
    write_json(tmp_path / "config.json", {"seed": 1, "sizes": [8], "old": 2})
    check_same(tmp_path, "config.json", {"seed": 1, "sizes": (8,), "old": 2})
    check_same(tmp_path, "config.json", {"seed": 1, "sizes": (8,)}, ignore=("old",))
    with pytest.raises(OptionError) as error:
        check_same(tmp_path, "config.json", {"seed": 1, "sizes": (4,)})
    there = f"the run in {tmp_path} has"
    assert error.value.message == f"{{sizes}} is [4], {there} [8]; {{old}} is None, {there} 2"
    check_same(tmp_path, "config.json", {"seed": 1, "sizes": (8,)}, extra=True)
    with pytest.raises(OptionError, match=f"new is 3, {there} None"):
        check_same(tmp_path, "config.json", {"seed": 1, "new": 3}, extra=True)
    with pytest.raises(InvalidInputError) as error:
        check_same(tmp_path, "config.json", {"seed": 2}, ("sizes",), are_options=False)
    assert error.value.spelled("--") == f"seed is 2, {there} 1; old is None, {there} 2"


def test_inputs_are_recorded_once_and_compared_then(tmp_path):
    with lock(tmp_path):
        record_inputs(tmp_path, CONFIG, INPUTS)
    assert json.loads((tmp_path / "checkpoints/inputs.json").read_text()) == INPUTS
    assert json.loads((tmp_path / "config.json").read_text())["hidden_sizes"] == [8, 8]
    record_inputs(tmp_path, CONFIG, INPUTS)
    record_inputs(tmp_path, {**CONFIG, "out": "b"}, INPUTS, ("out",))
    assert json.loads((tmp_path / "config.json").read_text())["out"] == "a"
    with pytest.raises(InvalidInputError, match="SHA-256 of the data is 11, the run in"):
        record_inputs(tmp_path, CONFIG, {"SHA-256 of the data": "11"})
    with pytest.raises(InvalidInputError, match="seed is 5, the run in"):
        record_inputs(tmp_path, {**CONFIG, "seed": 5}, INPUTS)


def test_a_folder_is_locked_for_all_others_until_the_end(tmp_path):
    path = tmp_path / "new"
    with lock(path):
        assert names_in(path) == ["checkpoints"]
        with pytest.raises(InvalidInputError, match=f"another process is at work in {path}"):
            lock(path).__enter__()
    with pytest.raises(RuntimeError, match="fails"), lock(path):
        raise RuntimeError("fails")
    with lock(path):
        pass


MADE = {"config": {"seed": 1, "sizes": [8]}, "returns": [3.0]}


def test_a_result_is_read_if_its_settings_are_those_wanted(tmp_path):
    path, defaults = tmp_path / "cell.json", {"seed": 0, "sizes": (4,), "new": None}
    assert read_result(path, {"seed": 1}, defaults) is None
    write_json(path, MADE)
    # What is newer than the file had its default then.
    assert read_result(path, {"seed": 1, "sizes": (8,), "new": None}, defaults) == MADE
    for name, wanted, found in (("seed", 2, 1), ("sizes", (4,), [8]), ("new", 3, None)):
        with pytest.raises(OptionError) as error:
            read_result(path, {"seed": 1, "sizes": (8,), name: wanted}, defaults)
        shown = list(wanted) if isinstance(wanted, tuple) else wanted
        expected = f"{path} was made with --{name}={found}, not {shown}; give another --out"
        assert error.value.spelled("--") == expected


def test_rows_are_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "curve.csv"
    write_csv(path, [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}])
    expected = ["step,loss", "1,0.5", "2,0.25"]
    assert path.read_text().splitlines() == expected
    with pytest.raises(ValueError, match="more"):
        write_csv(path, [{"step": 1, "loss": 0.5, "more": 1}, {"step": 2, "loss": 0.25}])
    assert path.read_text().splitlines() == expected
    write_csv(path, [{"step": 3, "loss": 0.1}])
    assert path.read_text().splitlines() == ["step,loss", "3,0.1"]
