"""Run folders."""

import json
import os
import pathlib

import pytest

from obd_jax.artefacts import RunFolder, refuse_unusable
from obd_jax.types import InvalidInputError


@pytest.mark.parametrize("kind", ["new", "nested", "empty"])
def test_a_new_or_empty_folder_is_accepted_and_left_alone(tmp_path, kind):
    path = {"new": tmp_path / "a", "nested": tmp_path / "a" / "b", "empty": tmp_path}[kind]
    refuse_unusable(path)
    assert not list(tmp_path.iterdir())
    with RunFolder(path):
        pass
    assert [file.name for file in path.iterdir()] == ["metrics.jsonl"]


def test_a_relative_path_is_accepted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refuse_unusable(pathlib.Path("runs/1"))


@pytest.mark.parametrize("refuse", [refuse_unusable, RunFolder])
def test_a_folder_that_holds_anything_is_refused_and_left_alone(tmp_path, refuse):
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(InvalidInputError, match=f"{tmp_path} already holds another run"):
        refuse(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]


@pytest.mark.parametrize("refuse", [refuse_unusable, RunFolder])
def test_a_file_is_refused(tmp_path, refuse):
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(InvalidInputError, match="is a file"):
        refuse(path)
    with pytest.raises(InvalidInputError, match=f"cannot be written .{path} is not writable"):
        refuse(path / "run")


@pytest.mark.parametrize("refuse", [refuse_unusable, RunFolder])
def test_a_folder_without_permission_is_refused(tmp_path, monkeypatch, refuse):
    # Tests may run as root, whom permissions do not stop.
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda p, mode: p != tmp_path and allowed(p, mode))
    with pytest.raises(InvalidInputError, match=f"{tmp_path} is not writable"):
        refuse(tmp_path / "a" / "b")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_after_all_is_refused(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pathlib.Path, "mkdir", fail)
    with pytest.raises(InvalidInputError, match=r"cannot be written: .*No space left"):
        RunFolder(tmp_path / "a")


def test_json_files_appear_whole_or_not_at_all(tmp_path):
    with RunFolder(tmp_path) as folder:
        folder.write_json("results.json", {"a": [1, None]})
        with pytest.raises(ValueError, match="not JSON compliant"):
            folder.write_json("results.json", {"a": float("nan")})
        with pytest.raises(TypeError):
            folder.write_json("other.json", {"a": object()})
    assert json.loads((tmp_path / "results.json").read_text()) == {"a": [1, None]}
    assert sorted(file.name for file in tmp_path.iterdir()) == ["metrics.jsonl", "results.json"]


def test_a_file_that_fails_to_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    with RunFolder(tmp_path) as folder:
        folder.write_json("results.json", {"a": 1})

        def fail(path, _):
            path.write_bytes(b"half")
            raise OSError("no space left")

        monkeypatch.setattr(pathlib.Path, "write_text", fail)
        with pytest.raises(OSError, match="no space left"):
            folder.write_json("results.json", {"a": 2})
    assert json.loads((tmp_path / "results.json").read_text()) == {"a": 1}


def test_metrics_are_lines_that_can_be_read_while_the_run_goes_on(tmp_path):
    with RunFolder(tmp_path) as folder:
        for step in range(3):
            folder.add_metrics({"step": step})
            lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
            assert [json.loads(line)["step"] for line in lines] == list(range(step + 1))
