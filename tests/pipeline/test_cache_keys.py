"""Names of results in the cache: they change with all that a result depends on."""

import pathlib

import jax

import obd_jax
from obd_jax.pipeline.cache_keys import cache_path, code_hash, key_numbers


def test_a_path_names_what_a_result_depends_on(monkeypatch):
    monkeypatch.setenv("OBD_JAX_CACHE", "/own")
    path = cache_path("scores", "teacher", {"a": 1, "b": [2.5]}, ".json")
    assert path.parent == pathlib.Path("/own/scores")
    assert path.name.startswith("teacher-")
    assert path.suffix == ".json"
    assert cache_path("scores", "teacher", {"b": [2.5], "a": 1}, ".json") == path
    assert cache_path("scores", "teacher", {"b": [2.5], "a": 2}, ".json") != path


def test_the_hash_of_the_code_is_that_of_every_file(tmp_path, monkeypatch):
    monkeypatch.setattr(obd_jax, "__file__", str(tmp_path / "__init__.py"))
    found = set()
    (tmp_path / "rooms").mkdir()
    for name, text in (("a.py", "1"), ("a.py", "2"), ("rooms/b.py", "2")):
        (tmp_path / name).write_text(text)
        code_hash.cache_clear()
        found.add(code_hash())
    code_hash.cache_clear()
    assert len(found) == 3


def test_keys_are_told_apart():
    keys = jax.random.split(jax.random.key(0))
    assert key_numbers(keys[0]) == key_numbers(keys[0]) != key_numbers(keys[1])
