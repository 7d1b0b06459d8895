"""Files made once: checked when used, whole or absent, made by one process at a time."""

import pathlib
import subprocess
import sys
import time

import pytest

from obd_jax.data.cache import UnwritableError, cached, default_cache
from obd_jax.types import InvalidInputError


class Maker:
    """Writes a content and counts how often."""

    def __init__(self, content=b"content"):
        self.content, self.calls, self.notes = content, 0, []

    def __call__(self, path):
        self.calls += 1
        path.write_bytes(self.content)

    def read(self, path):
        if path.read_bytes() != self.content:
            raise InvalidInputError(f"{path} is another one")
        return self.content

    def get(self, path):
        return cached(path, self, self.read, self.notes.append)


def test_a_file_is_made_once_and_what_it_holds_returned(tmp_path):
    path, maker = tmp_path / "folder" / "file", Maker()
    assert [maker.get(path), maker.get(path)] == [b"content", b"content"]
    assert (path.read_bytes(), maker.calls, maker.notes) == (b"content", 1, [])


def test_a_damaged_file_is_made_again(tmp_path):
    path, maker = tmp_path / "file", Maker()
    maker.get(path)
    path.write_bytes(b"contend")
    maker.get(path)
    assert (path.read_bytes(), maker.calls) == (b"content", 2)
    assert "damaged" in maker.notes[0]


def test_a_failure_leaves_nothing_behind(tmp_path):
    def fail(path):
        path.write_bytes(b"half of")
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        cached(tmp_path / "file", fail, pathlib.Path.read_bytes, print)
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == []
    assert Maker().get(tmp_path / "file") == b"content"


def test_a_disk_that_is_full_is_an_error_in_one_line(tmp_path):
    def fail(path):
        raise OSError(28, "No space left on device")

    with pytest.raises(UnwritableError, match=r"file cannot be written: .*No space left"):
        cached(tmp_path / "file", fail, pathlib.Path.read_bytes, print)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(UnwritableError, match="cannot be written"):
        Maker().get(tmp_path / "folder" / "file")


SCRIPT = """
import pathlib, sys, time
from obd_jax.data.cache import cached

def make(path):
    print("making", flush=True)
    time.sleep(1.5)
    path.write_bytes(b"content")

cached(
    pathlib.Path(sys.argv[1]), make, pathlib.Path.read_bytes, lambda line: print(line, flush=True)
)
"""


def test_two_processes_make_a_file_once(tmp_path):
    def start():
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / "file")]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    first = start()
    assert first.stdout.readline() == "making\n"
    second = start()
    outputs = [process.communicate(timeout=60)[0] for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0]
    assert "making\n" not in outputs[1]


def test_a_process_that_waits_says_so(tmp_path):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "file")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "making\n"
        maker = Maker()
        start = time.monotonic()
        maker.get(tmp_path / "file")
        assert time.monotonic() - start < 60
        other.communicate()
    assert maker.calls == 0
    assert len(maker.notes) == 1
    assert "another process" in maker.notes[0]


def test_the_folder_follows_the_environment(monkeypatch):
    monkeypatch.setenv("OBD_JAX_CACHE", "/own")
    assert default_cache() == pathlib.Path("/own")
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("OBD_JAX_CACHE", "~/own")  # As a file of variables would hold it.
    assert default_cache() == pathlib.Path("/home/me/own")
    monkeypatch.delenv("OBD_JAX_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/shared")
    assert default_cache() == pathlib.Path("/shared/obd_jax")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert default_cache() == pathlib.Path("/home/me/.cache/obd_jax")
